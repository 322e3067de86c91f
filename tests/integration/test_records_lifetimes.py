"""Lifetimes: given, kept, renewed, and what is left when they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from redisom_lite import Database
from redisom_lite.errors import ConstraintError, NotFoundError
from tests.integration.record_models import Part, Product, Session, keys_of, opened


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with opened(url) as opened_db:
        yield opened_db


def _near(left: timedelta | None, wanted: timedelta) -> bool:
    return left is not None and wanted - timedelta(seconds=5) < left <= wanted


async def test_lifetimes_are_set_extended_and_taken_away_to_the_millisecond(db: Database) -> None:
    product = await Product.objects.create(sku="a", tags={"x"})
    assert await product.ttl() is None
    await product.expire(timedelta(hours=1, milliseconds=7))
    assert _near(await product.ttl(), timedelta(hours=1, milliseconds=7))
    deadline = (await db.redis.zrange("{shop%3Aproduct}:due", 0, -1, withscores=True))[0][1]
    await product.extend("1d")
    extended = (await db.redis.zrange("{shop%3Aproduct}:due", 0, -1, withscores=True))[0][1]
    assert extended - deadline == 86_400_000
    assert _near(await product.ttl(), timedelta(days=1, hours=1, milliseconds=7))
    await product.persist()
    assert await product.ttl() is None
    await product.extend(10)
    assert await product.ttl() is None


async def test_lifetimes_of_missing_records_are_not_found(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    await Product.objects.delete("a")
    for call in (product.ttl(), product.expire(1), product.extend(1), product.persist()):
        with pytest.raises(NotFoundError):
            await call


@pytest.mark.parametrize(
    "ttl", [0, -1, "0s", timedelta(0), timedelta(seconds=-1), "soon", float("nan"), True, 10**20]
)
async def test_lifetimes_that_are_none_are_refused_before_anything_is_written(db: Database, ttl: Any) -> None:
    product = await Product.objects.create(sku="a")
    product.stock = 4
    calls = (product.save, Product(sku="b").save, Product(sku="b").insert)
    for call in (*(c(ttl=ttl) for c in calls), product.expire(ttl), product.extend(ttl)):
        with pytest.raises(ConstraintError):
            await call
    with pytest.raises(ConstraintError):
        await Product.objects.save_many([Product(sku="c")], ttl=ttl)
    assert await keys_of(db) >= {b"{shop%3Aproduct}:r:a"}
    assert (await Product.objects.get("a")).stock == 0


async def test_save_keeps_the_lifetime_it_is_not_given(db: Database) -> None:
    product = Product(sku="a")
    await product.save(ttl="1h")
    product.stock = 1
    await product.save()
    assert _near(await product.ttl(), timedelta(hours=1))
    await Product(sku="a", stock=7).save()
    assert _near(await product.ttl(), timedelta(hours=1))
    await product.update(stock=8)
    assert _near(await product.ttl(), timedelta(hours=1))
    await product.save(ttl="2h")
    assert _near(await product.ttl(), timedelta(hours=2))
    await product.delete()
    await product.insert()
    assert await product.ttl() is None


async def test_manager_gives_new_records_its_lifetime_and_existing_ones_none(db: Database) -> None:
    brief = await Session.brief.create(token="a")
    assert _near(await brief.ttl(), timedelta(seconds=5))
    await brief.expire("1h")
    brief.level = 2
    await brief.save()
    assert _near(await brief.ttl(), timedelta(hours=1))
    lasting = await Session.lasting.create(token="b")
    assert await lasting.ttl() is None
    found = await Session.lasting.get("a")
    assert _near(await found.ttl(), timedelta(hours=1))
    assert await Session.brief.save_many([Session(token="c"), Session(token="b")]) == 2
    (c,) = await Session.lasting.get_many(["c"])
    assert c is not None
    assert _near(await c.ttl(), timedelta(seconds=5))
    assert await lasting.ttl() is None


async def test_sliding_manager_renews_on_loads_by_key_and_on_saves(db: Database) -> None:
    half = timedelta(minutes=30)
    await Session.objects.create(token="a", badge="1")
    watcher = await Session.lasting.get("a")

    async def shortened() -> None:
        await watcher.expire("1m")

    await shortened()
    session = await Session.objects.get("a")
    assert _near(await watcher.ttl(), half)
    await shortened()
    await Session.objects.get_or_none("a")
    assert _near(await watcher.ttl(), half)
    await shortened()
    await Session.objects.get_many(["a", "b"])
    assert _near(await watcher.ttl(), half)
    await shortened()
    await Session.objects.get_or_create("a")
    assert _near(await watcher.ttl(), half)
    await shortened()
    await session.save()
    assert _near(await watcher.ttl(), half)
    await shortened()
    await session.update(level=3)
    assert _near(await watcher.ttl(), half)
    await shortened()
    assert len(await Session.objects.find(Session.user == "ann")) == 1
    await Session.lasting.get("a")
    assert _near(await watcher.ttl(), timedelta(minutes=1))


async def test_sliding_load_gives_a_lasting_record_an_end(db: Database) -> None:
    await Session.lasting.create(token="a", badge="b")
    session = await Session.objects.get("a")
    assert _near(await session.ttl(), timedelta(minutes=30))
    await session.expire(0.03)
    await asyncio.sleep(0.05)
    await Session.objects.create(token="b", badge="b")


async def test_expired_record_is_gone_in_every_way(db: Database) -> None:
    session = await Session.brief.create(token="a", badge="b")
    other = await Session.lasting.get("a")
    await session.expire(0.05)
    await asyncio.sleep(0.08)
    assert await Session.objects.get_or_none("a") is None
    assert not await Session.objects.exists("a")
    assert await Session.objects.find(Session.user == "ann").count() == 0
    for call in (
        session.save(),
        session.inc(level=1),
        session.update(level=4),
        session.ttl(),
        session.refresh(),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert await session.delete() is False
    with pytest.raises(NotFoundError):
        await other.extend(5)
    await Session.objects.sweep()
    assert not await keys_of(db)


async def test_key_of_an_expired_record_starts_anew(db: Database) -> None:
    old = await Product.objects.create(
        sku="a", tags={"x"}, ean="1", weight=2.0, category="old", blurb="secret"
    )
    await old.expire(0.05)
    await asyncio.sleep(0.08)
    new = await Product.objects.create(sku="a", category="new")
    assert await new.ttl() is None
    assert await Product.objects.get("a") == new
    await Product.objects.create(sku="b", ean="1")
    assert await Product.objects.find(Product.category == "old").count() == 0


async def test_unique_value_is_free_the_moment_its_record_expires(db: Database) -> None:
    for n in range(3):
        await Session.lasting.create(token=f"x{n}", badge=f"b{n}")
        holder = await Session.lasting.get(f"x{n}")
        await holder.expire(0.04)
        await asyncio.sleep(0.06)
        await Session.lasting.create(token=f"y{n}", badge=f"b{n}")


async def test_writes_sweep_what_is_overdue(db: Database) -> None:
    await Product.objects.save_many([Product(sku=str(n), tags={"t"}) for n in range(40)], ttl=0.05)
    await asyncio.sleep(0.08)
    for n in range(4):
        await Product.objects.create(sku=f"live{n}")
    assert set(await db.redis.zrange("{shop%3Aproduct}:k", 0, -1)) == {b"live%d" % n for n in range(4)}
    assert not await db.redis.exists(
        "{shop%3Aproduct}:due", "{shop%3Aproduct}:memo", "{shop%3Aproduct}:t:tags:t"
    )


async def test_model_whose_records_are_gone_leaves_few_keys_naming_none(db: Database) -> None:
    await Product.objects.save_many([Product(sku=f"secret{n}", ean=f"e{n}", tags={"t"}) for n in range(20)])
    await Product(sku="secret-last").save(ttl=0.03)
    await asyncio.sleep(0.05)
    await Product.objects.delete_many([f"secret{n}" for n in range(20)])
    await Product.objects.sweep()
    left = await db.redis.keys("{shop%3Aproduct}*")
    assert len(left) <= 5
    for key in left:
        kind = await db.redis.type(key)
        holds = await (db.redis.hgetall(key) if kind == b"hash" else db.redis.zrange(key, 0, -1))
        assert b"secret" not in repr(holds).encode()


async def test_evictable_model_cleans_up_after_records_that_were_evicted(db: Database) -> None:
    await Part.objects.save_many([Part(id=n, kind=f"k{n % 2}", size=n) for n in range(12)])
    for n in range(0, 12, 2):
        await db.redis.delete(Part.objects.site().keyspace.record_key(b"2%d" % n if n > 9 else b"1%d" % n))
    assert sorted(part.id for part in await Part.objects.find()) == [1, 3, 5, 7, 9, 11]
    await Part.objects.create(id=0, kind="new")
    await Part.objects.check(repair=True)
