"""What few models have (records that end, numbers with an exact form) is asked for only once a model has it.

Every step knows of it from then on, whoever brought it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest

from redisom_lite import Database, Field, Key, Manager, Model, Range, Unique
from redisom_lite.errors import NotFoundError
from tests import oracle

LONG = Decimal("0.12345678901234567890")
BASE = "{ticket}"


class Ticket(Model):
    brief = Manager(ttl=timedelta(milliseconds=40), sliding=True)

    id: Key[str]
    seat: Unique[str | None] = Field(default=None)
    price: Range[Decimal] = Field(default=Decimal(1))


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        opened.bind(Ticket)
        yield opened
        await oracle.check(opened, Ticket)


async def _has(db: Database) -> set[str]:
    found = await db.redis.hmget(f"{BASE}:meta", ["ends", "inexact"])
    return {what for what, there in zip(("ends", "inexact"), found, strict=True) if there}


async def test_model_has_neither_until_a_record_brings_it(db: Database) -> None:
    ticket = await Ticket.objects.create(id="a", price=Decimal("9.5"))
    await ticket.update(price=Decimal(7))
    assert await _has(db) == set()
    await ticket.update(price=LONG)
    assert await _has(db) == {"inexact"}
    await ticket.inc(price=-LONG)
    await Ticket.objects.create(id="b", price=LONG)
    await Ticket.objects.delete("b")
    assert not await db.redis.exists(f"{BASE}:x:price")
    await ticket.expire(60)
    assert await _has(db) == {"ends", "inexact"}


async def test_sliding_read_brings_the_first_end(db: Database) -> None:
    await Ticket.objects.create(id="a", seat="1")
    await Ticket.brief.get("a")
    assert await _has(db) == {"ends"}
    await asyncio.sleep(0.06)
    late = Ticket(id="a")
    with pytest.raises(NotFoundError):
        await late.inc(price=1)
    await Ticket.objects.create(id="b", seat="1")
    await Ticket.objects.sweep()
    assert not await db.redis.exists(f"{BASE}:due", f"{BASE}:memo")


async def test_data_that_does_not_tell_is_looked_through_when_a_class_is_declared(
    db: Database, url: str
) -> None:
    await Ticket.objects.create(id="a", seat="1", price=LONG)
    await Ticket(id="b", seat="2", price=LONG).save(ttl=0.04)
    stored: dict[bytes, bytes] = await db.redis.hgetall(f"{BASE}:meta")
    writers = [field for field in stored if field.startswith(b"w:")]
    await db.redis.hdel(f"{BASE}:meta", "ends", "inexact", *writers)
    await asyncio.sleep(0.06)
    await Ticket.objects.create(id="c", seat="2")
    assert await _has(db) == {"ends", "inexact"}
    await Ticket.objects.delete("a")
    await Ticket.objects.sweep()
    assert not await db.redis.exists(f"{BASE}:due", f"{BASE}:memo", f"{BASE}:x:price")


async def test_repair_takes_away_what_the_model_never_had(db: Database) -> None:
    await Ticket.objects.create(id="a")
    await db.redis.zadd(f"{BASE}:due", {"a": 4e12})
    await db.redis.hset(f"{BASE}:x:price", "a", "+1:5")
    await db.redis.hset(f"{BASE}:memo", "a", "ubadge=1:x;")
    assert not (await Ticket.objects.check()).ok
    assert not (await Ticket.objects.check(repair=True)).ok
    assert (await Ticket.objects.check()).ok
    assert not await db.redis.exists(f"{BASE}:due", f"{BASE}:memo", f"{BASE}:x:price")


async def test_entries_of_a_record_that_nothing_but_its_end_tells_of_go_when_its_key_is_used_again(
    db: Database,
) -> None:
    await Ticket(id="a", seat="1").save(ttl=60)
    await db.redis.delete(f"{BASE}:r:a")
    await db.redis.zrem(f"{BASE}:k", "a")
    await Ticket(id="a", seat="2").save(ttl=60)
    assert await db.redis.hkeys(f"{BASE}:u:seat") == [b"2"]
