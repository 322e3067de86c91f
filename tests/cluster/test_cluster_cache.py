"""Caches on a cluster: entries in their slot, the models they depend on in others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from redisom_lite import Database
from redisom_lite.cache import Cache
from tests import processes
from tests.integration.cache_models import Loader, Product, Spread


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Cluster]:
    with processes.cluster(tmp_path_factory.mktemp("cache")) as running:
        yield running


@pytest.fixture
async def db(cluster: processes.Cluster) -> AsyncIterator[Database]:
    for node in cluster.nodes:
        node.command("FLUSHALL")
    async with Database(cluster.url) as opened:
        opened.bind(Product, Spread)
        yield opened


async def test_answer_depends_on_models_of_other_slots(db: Database) -> None:
    cache = Cache(db, "on-cluster", ttl="5m", early=0)
    load = Loader(["a"])

    async def answer() -> int:
        """How many loads there have been after one more call."""
        depends_on = [Product.category == "tea", Spread]
        await cache.get_or_load("k", load, tags="t", depends_on=depends_on)
        return load.runs

    assert [await answer(), await answer()] == [1, 1]
    await Product(sku="mint", category="herbs").save()
    assert await answer() == 1
    await Product(sku="earl", category="tea").save()
    assert [await answer(), await answer()] == [2, 2]
    for n in range(6):  # in every partition
        await Spread(n=n).save()
        assert [await answer(), await answer()] == [3 + n, 3 + n]
    await cache.invalidate("t")
    assert [await answer(), await answer()] == [9, 9]
    assert await cache.get("k") == ["a"]
    assert await cache.delete("k")
    assert (await cache.stats()).loads == 9


async def test_expired_record_drops_answers(db: Database) -> None:
    cache = Cache(db, "on-cluster", ttl="5m", early=0)
    load = Loader(1)
    await Product(sku="earl", category="tea").save(ttl=1)
    await cache.get_or_load("k", load, depends_on=Product.category == "tea")
    await asyncio.sleep(1.05)
    for _ in range(2):
        await cache.get_or_load("k", load, depends_on=Product.category == "tea")
    assert load.runs == 2


async def test_callers_share_a_load(db: Database, cluster: processes.Cluster) -> None:
    load = Loader(1, after=0.2)
    async with Database(cluster.url) as other:
        caches = [Cache(db, "on-cluster", ttl="5m"), Cache(other, "on-cluster", ttl="5m")]
        calls = [cache.get_or_load("k", load, depends_on=[Product]) for cache in caches for _ in range(50)]
        assert await asyncio.gather(*calls) == [1] * 100
    assert load.runs == 1
