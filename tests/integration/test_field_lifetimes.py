"""Values with a lifetime of their own, `Field(ttl=...)`: on servers that have HPEXPIRE, and refused on the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ResponseError

from redisom_lite import Composite, Database, Field, Key, Meta, Model, Range, Tag
from redisom_lite.errors import BulkError, DeclarationError
from redisom_lite.testing import round_trips


class Account(Model):
    meta = Meta(indexes=[Composite("kind", "level")])

    id: Key[str]
    kind: Tag[str] = "plain"
    level: Range[int] = Field(default=1)
    code: str | None = Field(default=None, ttl="1500ms")
    attempts: int = Field(default=0, ttl=1.5, ge=0)
    seen: list[str] = Field(default_factory=list, ttl=60)
    note: str = ""


class Bare(Model):
    id: Key[str]
    code: str = Field(default="none", ttl=60)


async def keeps_fields(db: Database) -> bool:
    try:
        await db.redis.execute_command("HPTTL", "nothing", "FIELDS", 1, "a")
    except ResponseError:
        return False
    return True


@pytest.fixture
async def both(url: str) -> AsyncIterator[Database]:
    async with Database(url) as db:
        db.bind(Account, Bare)
        yield db


@pytest.fixture
async def db(both: Database) -> AsyncIterator[Database]:
    if not await keeps_fields(both):
        pytest.skip("this server has no HPEXPIRE")
    yield both
    assert (await Account.objects.check()).ok


async def left(db: Database, pk: str, name: str) -> int:
    """What remains of a field, in ms; -1 for one without an end, -2 for none."""
    reply = await db.redis.execute_command("HPTTL", "{account}:r:" + pk, "FIELDS", 1, name)
    return int(reply[0])


async def test_value_ends_and_its_record_stays(db: Database) -> None:
    await Account(id="b").save()
    with round_trips(db) as trips:
        await Account(id="a", code="1234", attempts=3, seen=["x"], note="n").save()
    assert trips.count == 1, trips.names
    assert await Account.objects.get("a") == Account(id="a", code="1234", attempts=3, seen=["x"], note="n")
    await asyncio.sleep(1.55)
    ended = Account(id="a", seen=["x"], note="n")
    assert await Account.objects.get("a") == ended
    assert await Account.objects.find(Account.kind == "plain", Account.level > 0).order_by(Account.id) == [
        ended,
        Account(id="b"),
    ]
    assert await Account.objects.find(Account.id == "a").values("code", "attempts", "seen") == [
        {"code": None, "attempts": 0, "seen": ["x"]}
    ]
    assert await left(db, "a", "note") == -1
    assert await left(db, "a", "_ix") == -1
    assert 50_000 < await left(db, "a", "seen") <= 60_000


@pytest.mark.parametrize(
    "how", ["save", "update", "inc", "by query", "put", "save_many", "batch", "transaction"]
)
async def test_every_write_of_the_field_renews_its_lifetime_and_others_do_not(db: Database, how: str) -> None:
    account = await Account(id="a", attempts=1, seen=["x"]).save()
    key = "{account}:r:a"
    for name in ("attempts", "seen"):
        await db.redis.execute_command("HPEXPIRE", key, 100_000, "FIELDS", 1, name)
    match how:
        case "save":
            account.attempts = 2
            await account.save()
        case "update":
            await account.update(attempts=1)
        case "inc":
            await account.inc(attempts=1)
        case "by query":
            assert await Account.objects.find(Account.level == 1).update(attempts=7) == 1
        case "put":
            await Account(id="a", attempts=1, seen=["x"]).save()
        case "save_many":
            account.attempts = 2
            await Account.objects.save_many([account])
        case "batch":
            account.attempts = 2
            async with db.batch() as b:
                b.save(account)
        case _:
            async with db.transaction() as tx:
                mine = await tx.get(Account, "a")
                mine.attempts = 9
                tx.save(mine)
    assert 0 < await left(db, "a", "attempts") <= 1500
    assert (await left(db, "a", "seen") > 60_000) == (how != "put")


async def test_writing_other_fields_leaves_a_value_ended(db: Database) -> None:
    account = await Account(id="a", code="1234", attempts=5).save()
    await asyncio.sleep(1.55)
    account.note = "changed"
    await account.save()
    await account.update(level=4)
    await account.refresh()
    assert (account.code, account.attempts, account.note, account.level) == (None, 0, "changed", 4)
    assert await account.inc(attempts=2) == {"attempts": 2}
    assert 0 < await left(db, "a", "attempts") <= 1500


async def test_none_takes_the_value_away_at_once(db: Database) -> None:
    account = await Account(id="a", code="1234").save()
    await account.update(code=None)
    assert (await Account.objects.get("a")).code is None
    await account.update(code="5678")
    assert (await Account.objects.get("a")).code == "5678"
    await asyncio.sleep(1.55)
    assert (await Account.objects.get("a")).code is None


async def test_reindex_and_repair_store_no_default_where_a_value_has_ended(db: Database) -> None:
    await Account(id="a", attempts=5).save()
    await asyncio.sleep(1.55)
    await Account.objects.reindex()
    await db.redis.delete("{account}:k")
    await Account.objects.check(repair=True)
    assert await left(db, "a", "attempts") == -2
    assert (await Account.objects.get("a")).attempts == 0


async def test_server_without_field_expiry_refuses_the_write_before_anything_changes(both: Database) -> None:
    if await keeps_fields(both):
        pytest.skip("this server has HPEXPIRE")
    with pytest.raises(DeclarationError, match=r"Bare\.code has a lifetime.*Redis 7\.4, Valkey 9"):
        await Bare(id="a").save()
    with pytest.raises(BulkError) as failed:
        await Bare.objects.save_many([Bare(id="a"), Bare(id="b")])
    assert [(place, type(error)) for place, error in failed.value.errors] == [
        (0, DeclarationError),
        (1, DeclarationError),
    ]

    async def commit() -> Any:
        async with both.transaction() as tx:
            tx.save(Bare(id="c"))

    with pytest.raises(DeclarationError):
        await commit()
    assert await Bare.objects.find().count() == 0
    assert await Bare.objects.delete("a") is False
    assert await both.redis.keys("{bare}:r:*") == []
