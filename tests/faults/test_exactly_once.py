"""Writes through connections that break: each happens once, and what is reported is what happened."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from redisom_lite import Database
from redisom_lite.engine import writer as writer_module
from redisom_lite.engine.address import parse
from redisom_lite.errors import AlreadyExistsError, BackendError, ConflictError
from tests import oracle
from tests.faults.proxy import Proxy
from tests.integration.record_models import MODELS, Doc, Product


class LossyProxy(Proxy):
    """Cuts all connections with every `odds`-th piece, before or after it went through."""

    odds = 50
    dice = random.Random(11)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, what: str) -> None:
        while data := await source.read(self.piece):
            if self.dice.random() < 1 / self.odds:
                keep = self.dice.choice([0, len(data) // 2, len(data)])
                sink.write(data[:keep])
                await sink.drain()
                await asyncio.sleep(0.002)
                self.cut()
                raise EOFError
            sink.write(data)
            await sink.drain()
        raise EOFError


@pytest.fixture
async def proxy(real_url: str) -> AsyncIterator[LossyProxy]:
    async with LossyProxy(parse(real_url).path) as running:
        yield running


@pytest.fixture
async def db(real_url: str, proxy: LossyProxy) -> AsyncIterator[Database]:
    """The database through the proxy; checked, directly, at the end."""
    async with Database(proxy.url, timeout=20) as lossy:
        lossy.bind(*MODELS)
        yield lossy
    async with Database(real_url) as direct:
        direct.bind(*MODELS)
        await oracle.check(direct, *MODELS)


@pytest.mark.parametrize(("at_once", "odds"), [(1, 50), (20, 50), (20, 10)])
async def test_twelve_hundred_incs_over_a_lossy_line_add_up(
    db: Database, proxy: LossyProxy, real_url: str, at_once: int, odds: int
) -> None:
    product = await Product.objects.create(sku="a", views=0)
    calls, proxy.odds = 1200, odds
    for _ in range(calls // at_once):
        await asyncio.gather(*(product.inc(views=1) for _ in range(at_once)))
    assert proxy.accepted > 1
    assert (await Product.objects.get("a")).views == calls
    async with Database(real_url) as direct:
        left = await direct.redis.zrange("{shop%3Aproduct}:op", 0, -1)
    assert len(left) < 300
    assert not any(word == b"a" for entry in left for word in entry.split(b":"))


async def test_tokens_of_writes_that_were_answered_are_forgotten(real_url: str) -> None:
    async with Database(real_url) as db:
        db.bind(*MODELS)
        product = await Product.objects.create(sku="a")
        for n in range(100):
            await product.inc(views=1)
            product.stock = n
            await product.save()
            assert await db.redis.zcard("{shop%3Aproduct}:op") < 16


async def test_deletes_and_inserts_never_mistake_their_own_success(db: Database, proxy: LossyProxy) -> None:
    proxy.odds = 12
    for n in range(120):
        product = await Product.objects.create(sku=str(n), ean="only one")
        assert await product.delete() is True
    assert proxy.accepted > 5


async def test_batches_never_mistake_their_own_success(db: Database, proxy: LossyProxy) -> None:
    proxy.odds = 6
    for n in range(60):
        products = [Product(sku=f"{n}-{i}", ean=f"only {i}") for i in range(4)]
        async with db.batch() as batch:
            inserted = [batch.insert(product) for product in products]
            read = batch.get(Product, f"{n}-3")
        assert [handle.result for handle in inserted] == products
        assert read.result == products[3]
        async with db.batch() as batch:
            deleted = [batch.delete(product) for product in products]
        assert [handle.result for handle in deleted] == [True] * 4
    assert proxy.accepted > 5


async def test_versioned_saves_never_conflict_with_themselves(db: Database, proxy: LossyProxy) -> None:
    proxy.odds = 12
    doc = await Doc.objects.create(id=1)
    for n in range(120):
        doc.title = str(n)
        await doc.save()
        assert await doc.inc(hits=1) == {"hits": n + 1}


async def test_extensions_are_applied_once(db: Database, proxy: LossyProxy, real_url: str) -> None:
    proxy.odds = 12
    product = await Product(sku="a").save(ttl=1000)
    first = await _deadline(real_url)
    for _ in range(100):
        await product.extend(10)
    assert await _deadline(real_url) - first == 1_000_000


async def _deadline(url: str) -> float:
    async with Database(url) as direct:
        return float((await direct.redis.zrange("{shop%3Aproduct}:due", 0, -1, withscores=True))[0][1])


async def test_bulk_saves_over_a_lossy_line_land_once(db: Database, proxy: LossyProxy) -> None:
    proxy.odds = 10
    for _ in range(3):
        assert await Doc.objects.save_many([Doc(id=n) for n in range(400)], batch_size=20) == 400
    docs = [one for one in await Doc.objects.get_many(range(400)) if one]
    for doc in docs:
        doc.title = "new"
    assert await Doc.objects.save_many(docs, batch_size=20) == 400
    assert await Doc.objects.delete_many(range(400), batch_size=20) == 400


@pytest.mark.parametrize(
    ("calls", "odds"),
    [(60, 2), pytest.param(1200, 2, marks=pytest.mark.slow), pytest.param(1200, 50, marks=pytest.mark.slow)],
)
async def test_what_could_not_be_told_is_reported_as_unknown(
    real_url: str, proxy: LossyProxy, calls: int, odds: int
) -> None:
    async with Database(real_url) as direct:
        direct.bind(Product)
        product = await Product.objects.create(sku="a")
    async with Database(proxy.url, timeout=0.15) as db:
        db.bind(Product)
        sure = unknown = 0
        proxy.odds = odds

        async def add() -> None:
            nonlocal sure, unknown
            try:
                await product.inc(views=1)
                sure += 1
            except BackendError as error:
                unknown += error.outcome == "unknown"

        for _ in range(calls // 4):
            await asyncio.gather(*(add() for _ in range(4)))
    print(f"{sure} acknowledged, {unknown} unknown")
    async with Database(real_url) as direct:
        direct.bind(Product)
        assert sure <= (await Product.objects.get("a")).views <= sure + unknown


async def _script_calls(db: Database) -> int:
    stats = await db.redis.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{form}", {"calls": 0})["calls"]) for form in ("fcall", "evalsha"))


@pytest.mark.parametrize("hours", [-30, 5])
async def test_clock_that_is_far_off_is_corrected(
    real_url: str, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    class Clock:
        @staticmethod
        def time() -> float:
            return time.time() + hours * 3600

    monkeypatch.setattr(writer_module, "time", Clock)
    async with Database(real_url) as db:
        db.bind(*MODELS)
        await asyncio.gather(*(Product.objects.create(sku=str(n)) for n in range(20)))
        await Product.objects.create(sku="a")
        stamps = await db.redis.zrange("{shop%3Aproduct}:op", 0, -1, withscores=True)
        assert all(abs(stamp / 1e6 - time.time()) < 60 for _, stamp in stamps)
        calls = await _script_calls(db)
        await Product.objects.create(sku="b")
        assert await _script_calls(db) == calls + 1
        await oracle.check(db, *MODELS)


async def test_retry_after_another_took_the_key_tells_of_its_own_success(
    db: Database, proxy: LossyProxy
) -> None:
    proxy.odds = 6
    for n in range(10):
        outcomes = await asyncio.gather(*(_outcome(Product(sku=str(n), stock=r).insert()) for r in range(4)))
        assert outcomes.count(Product) == 1
        assert outcomes.count(AlreadyExistsError) == 3


async def _outcome(call: Awaitable[Any]) -> type:
    try:
        return type(await call)
    except (AlreadyExistsError, ConflictError) as error:
        return type(error)
