"""Managers that give lifetimes: several of a model, sliding, keeping, sweeping, and what is left when all has ended."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from redisom_lite import Composite, Database, Field, Key, Manager, Meta, Model, Range, Tag, Unique
from redisom_lite.errors import ConflictError, NotFoundError
from redisom_lite.plan.expression import Term
from redisom_lite.plan.planner import Selection
from redisom_lite.query import Query
from redisom_lite.schema.model_schema import deadline_of
from redisom_lite.testing import round_trips
from tests import oracle
from tests.paging import paged


class SessionManager(Manager["Session"]):
    async def of(self, user: str) -> list[Session]:
        return await self.find(Session.user == user).order_by(Session.token)


class Session(Model):
    objects = Manager(ttl="30m", sliding=True)
    brief = Manager(ttl=timedelta(seconds=5))
    lasting = Manager()
    named = SessionManager(ttl="1h")
    meta = Meta(indexes=[Composite("user", "level")])

    token: Key[str]
    user: Tag[str | None] = Field(default="ann")
    roles: Tag[set[str]] = Field(default_factory=set)
    badge: Unique[str | None] = Field(default=None)
    level: Range[int] = Field(default=1)
    nick: Range[str] = Field(default="x")
    visits: int = 0


@asynccontextmanager
async def opened(url: str) -> Any:
    db = Database(url)
    db.bind(Session)
    async with db:
        yield db
        await oracle.check(db, Session)


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with opened(url) as opened_db:
        yield opened_db


async def left(session: Session) -> float:
    """Seconds a record still has; 0 for one without an end."""
    ttl = await session.ttl()
    return 0 if ttl is None else ttl.total_seconds()


async def keys(db: Database) -> set[bytes]:
    return set(await db.redis.keys("*"))


async def test_each_manager_gives_its_own_lifetime(db: Database) -> None:
    made = {
        1800: await Session.objects.create(token="a"),
        5: await Session.brief.create(token="b"),
        0: await Session.lasting.create(token="c"),
        3600: await Session.named.create(token="d"),
    }
    for seconds, session in made.items():
        assert seconds - 2 <= await left(session) <= seconds
    assert await Session.lasting.find().count() == 4
    assert [session.token for session in await Session.named.of("ann")] == ["a", "b", "c", "d"]


async def test_object_follows_the_manager_that_loaded_it(db: Database) -> None:
    await Session.lasting.create(token="a")
    by_lasting = await Session.lasting.get("a")
    by_lasting.visits = 1
    await by_lasting.save()
    assert await left(by_lasting) == 0
    by_brief = await Session.brief.get("a")
    by_brief.visits = 2
    await by_brief.save()
    assert await left(by_brief) == 0  # it has none, and keeps it
    by_objects = (await Session.objects.find())[0]
    by_objects.visits = 3
    await by_objects.save()
    assert await left(by_objects) > 1700


async def test_lifetime_given_to_a_save_wins_and_later_saves_keep_it(db: Database) -> None:
    session = Session(token="a")
    await session.save(ttl=10)
    assert 8 < await left(session) <= 10
    kept = await Session.brief.get("a")
    await kept.expire("20s")
    kept.visits = 1
    await kept.save()
    assert 18 < await left(kept) <= 20
    await kept.extend(5)
    assert 23 < await left(kept) <= 25
    await kept.persist()
    assert await left(kept) == 0
    await kept.save(ttl="2500ms")
    assert 0 < await left(kept) <= 2.5


@pytest.mark.parametrize(
    "how", ["get", "get_or_none", "get_many", "get_or_create", "save", "refresh", "update", "inc"]
)
async def test_sliding_manager_renews_on_reading_by_key_and_on_writing_in_one_trip(
    db: Database, how: str
) -> None:
    session = await Session(token="a").save(ttl=60)
    await Session.objects.get("a")
    await session.expire(60)
    calls: dict[str, Any] = {
        "get": lambda: Session.objects.get("a"),
        "get_or_none": lambda: Session.objects.get_or_none("a"),
        "get_many": lambda: Session.objects.get_many(["a", "none"]),
        "get_or_create": lambda: Session.objects.get_or_create("a"),
        "save": lambda: session.save(),
        "refresh": lambda: session.refresh(),
        "update": lambda: session.update(visits=1),
    } | {"inc": lambda: session.inc(visits=1)}
    with round_trips(db) as trips:
        await calls[how]()
    assert trips.count == 1, trips.names
    assert await left(session) > 1700


@pytest.mark.parametrize("how", ["all", "first", "count", "page", "values", "exists", "each"])
async def test_sliding_manager_does_not_renew_on_queries(db: Database, how: str) -> None:
    session = await Session(token="a").save(ttl=60)
    query = Session.objects.find(Session.user == "ann")
    match how:
        case "page":
            await query.page()
        case "values":
            await query.values("token")
        case "each":
            assert [found.token async for found in query] == ["a"]
        case "exists":
            assert await Session.objects.exists("a")
        case _:
            await getattr(query, how)()
    assert await left(session) <= 60


async def test_expiring_is_a_query_ordered_by_deadline(db: Database) -> None:
    ends = {f"t{n}": 600 + (n * 37) % 10 * 60 for n in range(10)}
    for token, seconds in ends.items():
        await Session(token=token, user="ab"[int(token[1]) % 2]).save(ttl=seconds)
    await Session.lasting.create(token="never")
    soonest = sorted(ends, key=lambda token: ends[token])
    query = Session.objects.expiring(within=timedelta(seconds=990))
    wanted = [token for token in soonest if ends[token] <= 990]
    assert [session.token for session in await query] == wanted
    assert await query.count() == len(wanted)
    assert await query.pks() == wanted
    first = await query.first()
    assert first is not None
    assert first.token == wanted[0]
    assert [session.token async for session in query] == wanted
    assert (
        await query.where(Session.user == "a").limit(2).pks() == [t for t in wanted if int(t[1]) % 2 == 0][:2]
    )
    page = await query.page(size=3)
    rest = await query.page(size=10, after=page.next)
    assert [session.token for session in [*page.items, *rest.items]] == wanted
    assert await query.order_by(Session.token.desc()).pks() == sorted(wanted, reverse=True)
    assert await Session.objects.expiring(within="1h").count() == 10


async def test_order_by_deadline_has_records_without_one_last_and_by_key(db: Database) -> None:
    ends = {f"t{n}": 600 + (n * 37) % 10 * 60 for n in range(10)}
    for token, seconds in ends.items():
        await Session(token=token).save(ttl=seconds)
    await Session.lasting.save_many([Session(token=f"n{n}", level=n % 3) for n in range(5)])
    right = [*sorted(ends, key=lambda token: ends[token]), *(f"n{n}" for n in range(5))]
    schema = Session.__redisom_schema__
    for order, expected in (
        ((Term(deadline_of(schema)),), right),
        ((Term(deadline_of(schema), descending=True),), [*right[9::-1], *right[:9:-1]]),
        (
            (Term(deadline_of(schema)), Term(schema.by_name["level"], descending=True)),
            [*right[:10], "n2", "n4", "n1", "n3", "n0"],
        ),
    ):
        query = Query(Session.lasting, Selection(schema, (), order))
        assert [session.token for session in await query] == expected
        assert await query.pks() == expected
        for limit, offset in ((3, 0), (12, 0), (4, 8), (3, 11), (20, 13)):
            limited = query.limit(limit).offset(offset)
            assert [session.token for session in await limited] == expected[offset : offset + limit]
            assert await limited.pks() == expected[offset : offset + limit]
        found = [session.token for page in await paged(query, 4) for session in page]
        assert found == expected
    assert await Session.objects.expiring(within="1h").limit(20).pks() == right[:10]


@pytest.mark.parametrize("how", ["new", "shortened"])
async def test_transaction_notices_who_comes_to_end_within_what_it_asked(db: Database, how: str) -> None:
    await Session(token="a").save(ttl="1m")
    other = await Session(token="b").save(ttl="2h")
    with pytest.raises(ConflictError):
        async with db.transaction() as tx:
            (ending,) = await tx.all(Session.objects.expiring(within="1h"))
            if how == "new":
                await Session(token="c").save(ttl="1m")
            else:
                await other.expire("1m")
            ending.level = 9
            tx.save(ending)
    assert (await Session.lasting.get("a")).level == 1


async def test_expired_records_are_in_no_answer_before_any_sweep(db: Database) -> None:
    await Session.lasting.save_many([Session(token=f"s{n}", level=n, roles={"r"}) for n in range(20)])
    for n in range(0, 20, 2):
        await (await Session.lasting.get(f"s{n}")).expire(0.02)
    await asyncio.sleep(0.05)
    odd = [f"s{n}" for n in range(1, 20, 2)]
    find = Session.lasting.find
    assert await find().count() == 10
    assert sorted(await find(Session.roles.has("r")).pks()) == sorted(odd)
    assert len((await find().order_by(Session.level).page(size=10)).items) == 10
    assert (await find().facets(Session.user)) == {"ann": 10}
    assert await find().sum(Session.level) == sum(range(1, 20, 2))
    assert await Session.lasting.get_or_none("s0") is None
    assert not await Session.lasting.exists("s0")
    with pytest.raises(NotFoundError):
        await Session.lasting.get("s0")


async def test_unique_value_is_free_the_moment_its_record_has_ended(db: Database) -> None:
    await Session(token="a", badge="b1").save(ttl=0.03)
    await asyncio.sleep(0.05)
    await Session.lasting.create(token="b", badge="b1")
    assert await Session.lasting.find(Session.badge == "b1").pks() == ["b"]


async def test_reused_key_carries_nothing_of_the_record_that_has_ended(db: Database) -> None:
    await Session(token="a", user="old", roles={"x", "y"}, badge="b", level=9, nick="n", visits=5).save(
        ttl=0.03
    )
    await asyncio.sleep(0.05)
    await Session.lasting.create(token="a")
    again = await Session.lasting.get("a")
    assert (again.user, again.roles, again.badge, again.level, again.visits) == ("ann", set(), None, 1, 0)
    assert await left(again) == 0
    for condition in (
        Session.user == "old",
        Session.roles.has("x"),
        Session.badge == "b",
        Session.level == 9,
    ):
        assert await Session.lasting.find(condition).count() == 0
    assert await Session.lasting.sweep() == 0
    assert await Session.lasting.exists("a")


async def test_sweep_cleans_everything_and_says_how_many(db: Database) -> None:
    await Session.lasting.save_many(
        [Session(token=f"s{n}", user=f"u{n % 7}", badge=str(n)) for n in range(700)], ttl=0.3
    )
    await Session.lasting.create(token="stays")
    await asyncio.sleep(0.4)
    waiting = await db.redis.zcard("{session}:due")  # the writes above may have swept a few
    assert 0 < waiting <= 700
    assert await Session.lasting.sweep() == waiting
    assert await Session.lasting.sweep() == 0
    assert (await Session.lasting.check()).ok


@pytest.mark.parametrize("use", ["writes", "queries"])
async def test_indexes_in_use_shrink_without_a_sweep(db: Database, use: str) -> None:
    await Session.lasting.save_many([Session(token=f"s{n}") for n in range(300)], ttl=0.1)
    await asyncio.sleep(0.15)
    for n in range(25):
        if use == "writes":
            await Session.lasting.delete(f"none{n}")
            await Session.lasting.create(token=f"new{n}")
        else:
            assert await Session.lasting.find().count() == 0
    assert await db.redis.zcard("{session}:due") == 0


async def test_model_whose_records_have_all_ended_leaves_a_handful_of_keys(db: Database) -> None:
    await Session.objects.save_many(
        [
            Session(token=f"s{n}", user=f"u{n}", roles={f"r{n}"}, badge=f"b{n}", level=2**60 + n)
            for n in range(50)
        ],
        ttl=0.1,
    )
    await asyncio.sleep(0.15)
    await Session.objects.sweep()
    remaining = await keys(db)
    assert len(remaining) <= 5
    assert not any(b"s1" in key for key in remaining)
    for key in remaining:
        kind = await db.redis.type(key)
        text = await (db.redis.hgetall(key) if kind == b"hash" else db.redis.zrange(key, 0, -1))
        assert b"s1" not in repr(text).encode(), key


async def test_sweeper_cleans_idle_models_while_its_block_runs(db: Database) -> None:
    await Session.objects.save_many([Session(token=f"s{n}") for n in range(50)], ttl=0.05)
    async with db.sweeper(interval=0.02), asyncio.timeout(20):
        while await db.redis.zcard("{session}:k"):  # noqa: ASYNC110 - another task's, on the server
            await asyncio.sleep(0.01)
    before = len(asyncio.all_tasks())
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) == before


async def test_sweeper_passes_on_what_its_block_raises_and_its_cancellation(db: Database) -> None:
    with pytest.raises(LookupError):
        async with db.sweeper(interval=0.01):
            await asyncio.sleep(0.02)
            raise LookupError

    async def body() -> None:
        async with db.sweeper(interval=0.01):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(body(), 0.05)
    assert len(asyncio.all_tasks()) == 1 or all("sweep" not in repr(task) for task in asyncio.all_tasks())


# Many records with random lifetimes, under concurrent queries.


async def answers_at_every_instant(db: Database, count: int, seconds: float) -> None:
    """No ended record in any answer, no live one missing, as far as the client can know (`slack` seconds apart)."""
    slack = 0.25
    ends: dict[str, tuple[float, float]] = {}
    rng = random.Random(7)

    async def write(first: int, last: int) -> None:
        for n in range(first, last, 50):
            for m in range(n, min(n + 50, last)):
                life = rng.uniform(0.05, seconds)
                session = Session(token=f"s{m}", user=f"u{m % 10}", level=m % 100, roles={"r"})
                before = time.monotonic()
                ends[f"s{m}"] = (float("inf"), float("inf"))
                await session.save(ttl=life)
                ends[f"s{m}"] = (before + life, time.monotonic() + life)

    async def ask() -> None:
        while not done.is_set():
            user = f"u{rng.randrange(10)}"
            of_user = Session.lasting.find(Session.user == user)
            for query, levels in (
                (of_user, 100),
                (of_user.where(Session.level < 50).order_by(Session.level), 50),
            ):
                began = time.monotonic()
                known = dict(ends)
                found = {session.token for session in await query}
                ended = time.monotonic()
                assert all(ends[token][1] > began - slack for token in found), "an ended record was returned"
                live = {
                    token
                    for token, (earliest, _) in known.items()
                    if f"u{int(token[1:]) % 10}" == user
                    and int(token[1:]) % 100 < levels
                    and ended + slack < earliest < float("inf")
                }
                assert live <= found, "a live record was missed"
            await asyncio.sleep(0)

    done = asyncio.Event()
    askers = [asyncio.create_task(ask()) for _ in range(4)]
    step = count // 8
    await asyncio.gather(*(write(n * step, (n + 1) * step) for n in range(8)))
    await asyncio.sleep(seconds + slack)
    assert await Session.lasting.find().count() == 0
    done.set()
    await asyncio.gather(*askers)
    await Session.lasting.sweep()
    assert len(await keys(db)) <= 5


async def test_answers_are_right_at_every_instant_while_records_end(real_url: str) -> None:
    async with opened(real_url) as db:
        await answers_at_every_instant(db, 2400, 1.5)


@pytest.mark.slow
async def test_answers_are_right_at_every_instant_while_50000_records_end(real_url: str) -> None:
    async with opened(real_url) as db:
        await answers_at_every_instant(db, 50_000, 20)
