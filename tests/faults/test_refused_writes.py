"""What the server refuses, it refuses whole: memory that is full, keys of other programs in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from redisom_lite import Database
from redisom_lite.errors import BackendError, OutOfMemoryError
from tests import oracle
from tests.integration.record_models import MODELS, Product, Session, opened


@pytest.fixture
async def db(real_url: str) -> AsyncIterator[Database]:
    async with opened(real_url) as opened_db:
        yield opened_db


@pytest.fixture
async def full(db: Database) -> AsyncIterator[Database]:
    """A server whose memory is full, with a few records."""
    await Product.objects.save_many([Product(sku=str(n), tags={"t"}, ean=f"e{n}") for n in range(5)])
    await Product(sku="brief", tags={"t"}, ean="brief").save(ttl=60)
    await Session.objects.create(token="s")
    await Session.lasting.create(token="lasting")
    await db.redis.config_set("maxmemory-policy", "noeviction")
    await db.redis.config_set("maxmemory", "1mb")
    yield db
    await db.redis.config_set("maxmemory", "0")


async def test_storing_steps_are_refused_clean_when_memory_is_full(full: Database) -> None:
    before = await _dump(full)
    product = await Product.objects.get("1")
    product.stock = 4
    again = await Product.objects.get("2")
    calls = [
        product.save(),
        again.update(category="new", tags={"u"}),
        again.update(weight=2.0),
        again.inc(stock=1),
        Product(sku="new").insert(),
        Product(sku="3", tags=set()).save(ttl=5),
        Product.objects.save_many([Product(sku="x"), Product(sku="y"), product]),
    ]
    for call in calls:
        with pytest.raises(OutOfMemoryError) as refused:
            await call
        assert refused.value.outcome == "none"
    assert await _dump(full) == before
    await oracle.check(full, *MODELS)


async def test_deletes_and_reads_work_when_memory_is_full(full: Database) -> None:
    assert (await Product.objects.get("1")).ean == "e1"
    assert await Product.objects.find(Product.tags.has("t")).count() == 6
    assert await Product.objects.delete("1") is True
    assert await (await Product.objects.get("2")).delete() is True
    assert await Product.objects.delete_many(["3", "brief", "none"]) == 2
    assert await Product.objects.find(Product.tags.has("t")).delete() == 2
    await oracle.check(full, *MODELS)


async def test_sliding_reads_and_expiries_work_when_memory_is_full(full: Database) -> None:
    assert (await Session.objects.get("s")).token == "s"
    found = await Session.objects.get("lasting")
    assert await found.ttl() is not None
    await found.expire(30)
    await found.persist()
    await (await Product.objects.get("4")).expire(20)
    await oracle.check(full, *MODELS)


@pytest.mark.parametrize(
    "suffix",
    [
        ":k",
        ":i:stock",
        ":i:name",
        ":t:category:tea",
        ":v:category",
        ":u:ean",
        ":c:category:price:tea",
        ":r:a",
    ],
)
async def test_key_of_another_type_in_the_way_leaves_everything(real_url: str, suffix: str) -> None:
    async with Database(real_url) as db:
        db.bind(*MODELS)
        await Product.objects.create(sku="other", category="coffee")
        other = await Product.objects.get("other")
        await db.redis.delete(f"{{shop%3Aproduct}}{suffix}")
        await db.redis.set(f"{{shop%3Aproduct}}{suffix}", "foreign")
        before = await _dump(db)
        other.category, other.stock, other.name, other.ean = "tea", 7, "tea", "7"
        for call in (Product(sku="a", ean="1").save(), Product(sku="a", ean="1").insert(), other.save()):
            if suffix == ":r:a" and call.__name__ == "save" and call.cr_frame.f_locals["self"] is other:
                call.close()
                continue
            with pytest.raises(BackendError) as refused:
                await call
            assert refused.value.outcome == "none"
            assert await _dump(db) == before
        await db.redis.delete(f"{{shop%3Aproduct}}{suffix}")
        await Product.objects.check(repair=True)
        await Product(sku="a", ean="1").save()
        await oracle.check(db, *MODELS)


async def _dump(db: Database) -> dict[bytes, Any]:
    keys = [key for key in await db.redis.keys("*") if not key.endswith((b":op", b":meta"))]
    return {key: await db.redis.dump(key) for key in keys}
