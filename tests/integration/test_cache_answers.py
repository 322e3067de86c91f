"""Answers: kept by key and type, for their lifetime; nothing found; loaders that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from redisom_lite import Database
from redisom_lite.cache import Cache, loading
from redisom_lite.errors import (
    BackendError,
    ConstraintError,
    DeclarationError,
    NotFoundError,
    UnavailableError,
)
from redisom_lite.testing import faults, round_trips
from tests.integration.cache_models import Loader


class Sku(BaseModel):
    code: str
    price: Decimal


@dataclass
class Point:
    x: int
    at: date


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        yield opened


@pytest.fixture
def cache(db: Database) -> Cache:
    return Cache(db, "answers", ttl="5m", early=0)


# By key


async def test_answer_is_loaded_once_and_then_kept(cache: Cache) -> None:
    load = Loader(["a"])
    assert await cache.get_or_load("k", load) == ["a"]
    assert await cache.get_or_load("k", load) == ["a"]
    assert await cache.get("k") == ["a"]
    assert load.runs == 1


async def test_set_replaces_and_delete_forgets(cache: Cache) -> None:
    await cache.set("k", 1)
    await cache.set("k", 2)
    assert await cache.get("k") == 2
    assert await cache.delete("k")
    assert not await cache.delete("k")
    assert await cache.get("k") is None
    assert await cache.get("k", "default") == "default"


async def test_hit_takes_one_round_trip(db: Database, cache: Cache) -> None:
    load = Loader(1)
    await cache.get_or_load("k", load)
    with round_trips(db) as trips:
        await cache.get_or_load("k", load)
    assert trips.names == ["cache_read"]


async def test_caches_of_other_prefix_or_namespace_share_nothing(db: Database, url: str) -> None:
    await Cache(db, "a", ttl=60).set("k", 1)
    assert await Cache(db, "b", ttl=60).get("k") is None
    async with Database(url, namespace="ns") as other:
        assert await Cache(other, "a", ttl=60).get("k") is None
    assert await Cache(db, "a", ttl=60).get("k") == 1


@pytest.mark.parametrize("key", ["a b", "ä:{x}*", "x" * 5000, "a%20b", "\0"])
async def test_any_text_is_a_key(cache: Cache, key: str) -> None:
    await cache.set(key, key)
    assert await cache.get(key) == key
    assert await cache.get(key + "x") is None
    assert await cache.delete(key)


@pytest.mark.parametrize("key", ["", 7, None, b"k"])
async def test_what_is_no_text_is_no_key(cache: Cache, key: Any) -> None:
    with pytest.raises(ConstraintError, match="key is text"):
        await cache.get(key)


# Values


@pytest.mark.parametrize("value", [0, False, "", [], {}, 0.0])
async def test_false_value_is_an_answer_and_no_miss(cache: Cache, value: Any) -> None:
    load = Loader(value)
    for _ in range(3):
        found = await cache.get_or_load("k", load)
        assert found == value
        assert type(found) is type(value)
    assert await cache.get("k", "default") == value
    assert load.runs == 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Sku(code="a", price=Decimal("19.90")), Sku),
        ([Sku(code="a", price=Decimal("1.10"))], list[Sku]),
        (Point(1, date(2024, 2, 29)), Point),
        ({date(2024, 1, 1): {1, 2}}, dict[date, set[int]]),
        ((1, "a", Decimal("0.10")), tuple[int, str, Decimal]),
        (UUID(int=7), UUID),
        (b"\x00\xff", bytes),
        (timedelta(seconds=1.5), timedelta),
    ],
)
async def test_value_comes_back_as_its_type(cache: Cache, value: Any, kind: Any) -> None:
    await cache.set("k", value, type=kind)
    assert await cache.get("k", type=kind) == value
    assert await cache.get_or_load("k", Loader(), type=kind) == value


async def test_first_caller_gets_what_later_ones_get(cache: Cache) -> None:
    load = Loader([1, 2])
    first, second = await cache.get_or_load("k", load), await cache.get_or_load("k", load)
    assert first == second == [1, 2]
    assert first is not second
    first.append(3)
    assert load.gives == [1, 2]


async def test_value_that_would_come_back_as_another_is_refused(cache: Cache) -> None:
    with pytest.raises(ConstraintError, match="would not come back"):
        await cache.set("k", {"price": Decimal("1.5")})
    with pytest.raises(ConstraintError):
        await cache.get_or_load("k", Loader((1, 2)))
    assert await cache.get("k") is None


async def test_value_of_another_type_than_declared_is_refused(cache: Cache) -> None:
    with pytest.raises(ValidationError):
        await cache.get_or_load("k", Loader("x"), type=int)
    assert await cache.get_or_load("k", Loader(1), type=int) == 1


async def test_entry_of_a_changed_type_is_a_miss(cache: Cache) -> None:
    await cache.set("k", {"code": "a"}, type=dict[str, str])
    assert await cache.get("k", type=Sku) is None
    load = Loader(Sku(code="a", price=Decimal(1)))
    assert await cache.get_or_load("k", load, type=Sku) == load.gives
    assert await cache.get_or_load("k", load, type=Sku) == load.gives
    assert load.runs == 1


async def test_entry_of_a_changed_type_does_not_stand_in(cache: Cache) -> None:
    await cache.set("k", {"code": "a"}, type=dict[str, str])
    with pytest.raises(OSError, match="away"):
        await cache.get_or_load("k", Loader(OSError("away")), type=Sku, stale="1h")


async def test_big_value_comes_back_whole(cache: Cache) -> None:
    big = ["x" * 1000] * 20_000
    assert await cache.get_or_load("k", Loader(big), type=list[str]) == big
    assert await cache.get("k", type=list[str]) == big


# Lifetimes


async def test_entry_is_fresh_for_its_lifetime_exactly(db: Database, cache: Cache) -> None:
    load = Loader(1)
    await cache.get_or_load("k", load, ttl="1500ms")
    (key,) = await db.redis.keys("*cache:e:*")
    remaining = await db.redis.pttl(key)
    assert 0 < remaining <= 1500
    while await db.redis.exists(key):
        found = await cache.get("k")
        left = await db.redis.pttl(key)
        assert found == 1 or left <= 0  # 0 in its last millisecond
        await asyncio.sleep(0.01)
    assert await cache.get("k") is None
    await cache.get_or_load("k", load)
    assert load.runs == 2


async def test_entry_in_its_grace_is_not_fresh(db: Database, cache: Cache) -> None:
    load = Loader(1)
    await cache.get_or_load("k", load, ttl="50ms", stale="1h")
    await asyncio.sleep(0.08)
    (key,) = await db.redis.keys("*cache:e:*")
    assert await db.redis.pttl(key) > 3_000_000
    assert await cache.get("k") is None
    load.gives = 2
    assert await cache.get_or_load("k", load, ttl="50ms", stale="1h") == 2


async def test_each_cache_and_call_has_its_own_lifetime(db: Database) -> None:
    short, long = Cache(db, "short", ttl="1m"), Cache(db, "long", ttl="1h")
    await short.set("k", 1)
    await long.set("k", 1)
    await long.set("other", 1, ttl="1d")
    lives = {key: await db.redis.pttl(key) for key in await db.redis.keys("*cache:e:*")}
    assert sorted(round(ms / 60_000) for ms in lives.values()) == [1, 60, 1440]


@pytest.mark.parametrize(
    "wrong", [{"ttl": 0}, {"ttl": "x"}, {"ttl": 5, "stale": -1}, {"ttl": 5, "early": -1}]
)
def test_lifetime_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        Cache(Database("memory://"), "p", **wrong)


@pytest.fixture
def chance(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Decide what `random.random` gives where a cache decides on loading early."""

    def is_now(number: float) -> None:
        monkeypatch.setattr(loading.random, "random", lambda: number)

    return is_now


async def test_answer_is_loaded_anew_before_its_end_by_chance(db: Database, chance: Any) -> None:
    cache = Cache(db, "early", ttl="10s")
    load = Loader(1, after=0.02)
    await cache.get_or_load("k", load)
    chance(0.5)  # a load of 20 ms, 10 s before the end
    await cache.get_or_load("k", load)
    assert load.runs == 1
    chance(1 - 2**-53)  # 36 loads before the end
    load.after = 0.5
    await cache.get_or_load("other", load)
    await cache.get_or_load("other", load)
    assert load.runs == 3
    assert (await cache.stats()).early == 1


async def test_early_load_keeps_nobody_waiting(db: Database, chance: Any) -> None:
    cache = Cache(db, "early", ttl="10s", early=100)
    load = Loader(1, after=0.05)
    await cache.get_or_load("k", load)
    chance(1 - 2**-53)
    load.after, load.gives = None, 2
    load.begun.clear()
    slow = asyncio.create_task(cache.get_or_load("k", load))
    await load.begun.wait()
    assert await cache.get_or_load("k", load) == 1
    load.leave.set()
    assert await slow == 2
    assert load.runs == 2


async def test_early_load_that_fails_leaves_the_fresh_answer(db: Database, chance: Any) -> None:
    cache = Cache(db, "early", ttl="10s", early=100)
    await cache.get_or_load("k", Loader(1, after=0.05))
    chance(1 - 2**-53)
    failing = Loader(OSError("away"))
    assert await cache.get_or_load("k", failing) == 1
    assert failing.runs == 1


# Nothing found


async def test_none_is_kept_as_long_as_any_answer(cache: Cache) -> None:
    load = Loader(None)
    assert await cache.get_or_load("k", load) is None
    assert await cache.get_or_load("k", load, type=int) is None
    assert await cache.get("k", "default") is None
    assert load.runs == 1


async def test_none_has_a_lifetime_of_its_own(db: Database, cache: Cache) -> None:
    await cache.get_or_load("none", Loader(None), negative="1m")
    await cache.get_or_load("some", Loader(0), negative="1m")
    lives = [await db.redis.pttl(key) for key in await db.redis.keys("*cache:e:*")]
    assert sorted(round(ms / 60_000) for ms in lives) == [1, 5]


async def test_not_found_is_remembered_when_asked_for(cache: Cache) -> None:
    load = Loader(NotFoundError("no such product"))
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await cache.get_or_load("k", load, negative="1m")
    assert load.runs == 1
    assert await cache.get("k", "default") == "default"
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await cache.get_or_load("other", load)
    assert load.runs == 3


async def test_not_found_is_an_answer_that_nothing_stands_in_for(cache: Cache) -> None:
    await cache.get_or_load("k", Loader(1), ttl="20ms", stale="1h")
    await asyncio.sleep(0.04)
    with pytest.raises(NotFoundError):
        await cache.get_or_load("k", Loader(NotFoundError("gone")), stale="1h", negative="1m")


# Loaders that fail


async def test_failure_is_raised_and_not_kept(cache: Cache) -> None:
    load = Loader(OSError("away"))
    with pytest.raises(OSError, match="away"):
        await cache.get_or_load("k", load)
    load.gives = 1
    assert await cache.get_or_load("k", load) == 1


async def test_older_answer_stands_in_for_a_failed_load(cache: Cache) -> None:
    load = Loader(1)
    await cache.get_or_load("k", load, ttl="20ms", stale="1h")
    await asyncio.sleep(0.04)
    load.gives = OSError("away")
    assert await cache.get_or_load("k", load, ttl="20ms", stale="1h") == 1
    with pytest.raises(OSError, match="away"):
        await cache.get_or_load("k", load, ttl="20ms")
    load.gives = 2
    assert await cache.get_or_load("k", load, ttl="20ms", stale="1h") == 2
    assert (await cache.stats()).stale == 1


async def test_older_answer_stands_in_for_its_grace_only(cache: Cache) -> None:
    await cache.get_or_load("k", Loader(1), ttl="20ms", stale="30ms")
    await asyncio.sleep(0.08)
    with pytest.raises(OSError, match="away"):
        await cache.get_or_load("k", Loader(OSError("away")), stale="1h")


async def test_invalidated_answer_stands_in_for_nothing(cache: Cache) -> None:
    for key in ("deleted", "touched", "cleared"):
        await cache.get_or_load(key, Loader(1), tags=key, stale="1h")
    await cache.delete("deleted")
    await cache.invalidate("touched")
    with pytest.raises(OSError, match="away"):
        await cache.get_or_load("deleted", Loader(OSError("away")), stale="1h")
    with pytest.raises(OSError, match="away"):
        await cache.get_or_load("touched", Loader(OSError("away")), stale="1h")
    await cache.clear()
    with pytest.raises(OSError, match="away"):
        await cache.get_or_load("cleared", Loader(OSError("away")), stale="1h")


async def test_loader_that_is_not_async_is_refused(cache: Cache) -> None:
    with pytest.raises(DeclarationError, match="async function"):
        await cache.get_or_load("k", lambda: 5)  # type: ignore[arg-type, return-value]  # that is the test
    assert await cache.get_or_load("k", Loader(5)) == 5


# The server is away


async def test_loader_runs_without_a_server(db: Database, cache: Cache) -> None:
    load = Loader(1)
    with faults(db, times=1000):
        assert await cache.get_or_load("k", load) == 1
        assert await cache.get_or_load("k", load) == 1
        with pytest.raises(UnavailableError):
            await cache.get("k")
        with pytest.raises(UnavailableError):
            await cache.stats()
    assert load.runs == 2
    assert await cache.get_or_load("k", load) == 1
    assert (await cache.stats()).bypassed == 2


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("skip", range(4))
async def test_answer_is_given_wherever_the_connection_breaks(db: Database, skip: int, moment: Any) -> None:
    cache = Cache(db, "answers", ttl="5m", lock="1500ms")  # kept later: it is no call of these
    load = Loader(1)
    with faults(db, skip=skip, moment=moment) as plan:
        assert await cache.get_or_load("k", load) == 1
    assert plan.raised == (1 if skip < 3 else 0)
    assert load.runs == 1
    assert await cache.get_or_load("k", load) == 1


async def test_wrong_key_type_is_an_error_and_no_outage(db: Database, cache: Cache) -> None:
    await cache.set("k", 1)
    (key,) = await db.redis.keys("*cache:e:*")
    await db.redis.delete(key)
    await db.redis.set(key, "x")
    with pytest.raises(BackendError):
        await cache.get_or_load("k", Loader(1))


# Tags


async def test_tag_outdates_the_answers_that_have_it(cache: Cache) -> None:
    for key, tags in (("a", ["x"]), ("b", ["x", "y"]), ("c", "y"), ("d", ())):
        await cache.set(key, key, tags=tags)
    await cache.invalidate("x")
    assert [await cache.get(key) for key in "abcd"] == [None, None, "c", "d"]
    await cache.set("a", "a", tags=["x"])
    assert await cache.get("a") == "a"
    await cache.invalidate("x", "y", "nothing")
    assert [await cache.get(key) for key in "abcd"] == [None, None, None, "d"]


async def test_clear_outdates_all(cache: Cache, db: Database) -> None:
    other = Cache(db, "other", ttl=60)
    await cache.set("a", 1)
    await cache.set("b", 1, tags="x")
    await other.set("a", 1)
    await cache.clear()
    assert [await cache.get("a"), await cache.get("b"), await other.get("a")] == [None, None, 1]


async def test_lifetime_of_tags_is_that_of_their_answers(cache: Cache, db: Database) -> None:
    await cache.get_or_load("a", Loader(1), tags="x", ttl="1h")
    await cache.set("b", 1, tags="x", ttl="30m")
    for mark in await db.redis.keys("*cache:t:*"):
        assert await db.redis.pttl(mark) > 3_590_000


# Counts


async def test_stats_count_what_happened(cache: Cache) -> None:
    load = Loader(1, after=0.01)
    await cache.get("k")
    await cache.get_or_load("k", load)
    for _ in range(3):
        await cache.get_or_load("k", load)
    with pytest.raises(OSError, match="away"):
        await cache.get_or_load("other", Loader(OSError("away")))
    stats = await cache.stats()
    assert (stats.hits, stats.misses, stats.loads, stats.errors) == (3, 2, 2, 1)
    assert stats.hit_rate == 0.6
    assert stats.mean_load >= timedelta(milliseconds=5)
    assert stats.to_dict()["hits"] == 3
    assert (await cache.stats()) == stats


async def test_stats_tell_how_old_answers_were(cache: Cache) -> None:
    await cache.set("k", 1)
    await asyncio.sleep(0.05)
    await cache.get("k")
    assert (await cache.stats()).mean_age >= timedelta(milliseconds=40)
