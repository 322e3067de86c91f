"""Answers that depend on models and conditions: dropped by every write that concerns them, whoever writes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from redisom_lite import Database, Key, Meta, Model, Range
from redisom_lite.cache import Cache
from redisom_lite.cache.dependencies import MOST
from redisom_lite.errors import DeclarationError, NotBoundError
from redisom_lite.testing import round_trips
from redisom_lite.transaction import Transaction
from tests.integration.cache_models import Loader, Product, Spread

ROOT = Path(__file__).parent.parent.parent
TEA = Product.category == "tea"

Write = Callable[[], Awaitable[Any]]


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        opened.bind(Product, Spread)
        await Product.objects.save_many(
            [
                Product(sku="earl", category="tea", name="Earl", price=5, tags={"black"}, ean="1"),
                Product(sku="mint", category="herbs", name="Mint", price=3, tags={"green"}),
            ]
        )
        yield opened


@pytest.fixture
def cache(db: Database) -> Cache:
    return Cache(db, "depends", ttl="5m", early=0)


class Kept:
    """An answer that depends on something: whether it is still served."""

    def __init__(self, cache: Cache, depends_on: Any, key: str = "k") -> None:
        self._cache, self._depends, self._key = cache, depends_on, key
        self._load = Loader("answer")

    async def load(self) -> None:
        await self._cache.get_or_load(self._key, self._load, depends_on=self._depends)

    async def dropped(self) -> bool:
        """Whether it had to be loaded since the last look."""
        before = self._load.runs
        await self.load()
        return self._load.runs > before


async def product(sku: str) -> Product:
    return await Product.objects.get(sku)


async def change(sku: str, **fields: Any) -> None:
    await (await product(sku)).update(**fields)


async def saved_in_place() -> None:
    earl = await product("earl")
    earl.blurb = "new"
    await earl.save()


async def in_transaction() -> None:
    async with Product.objects.site().store.transaction() as tx:  # type: ignore[attr-defined]  # a Database
        found = await tx.get(Product, "earl")
        found.price = 9
        tx.save(found)


async def in_batch() -> None:
    async with Product.objects.site().store.batch() as batch:  # type: ignore[attr-defined]  # a Database
        batch.save(Product(sku="new", category="tea"))


CONCERNING_TEA: dict[str, Write] = {
    "insert": lambda: Product(sku="new", category="tea").insert(),
    "save new": lambda: Product(sku="new", category="tea").save(),
    "replace": lambda: Product(sku="earl", category="herbs").save(),
    "save changed": saved_in_place,
    "update unindexed field": lambda: change("earl", blurb="x"),
    "enter": lambda: change("mint", category="tea"),
    "leave": lambda: change("earl", category="herbs"),
    "inc": lambda: _inc("earl"),
    "delete": lambda: Product.objects.delete("earl"),
    "delete many": lambda: Product.objects.delete_many(["earl", "none"]),
    "save many": lambda: Product.objects.save_many(
        [Product(sku=f"n{n}", category="tea") for n in range(300)]
    ),
    "update by query": lambda: Product.objects.find(Product.price > 4).update(price=1),
    "delete by query": lambda: Product.objects.find(Product.price > 4).delete(),
    "lifetime by query": lambda: Product.objects.find(Product.price > 4).expire("1h"),
    "transaction": in_transaction,
    "batch": in_batch,
    "get_or_create": lambda: Product.objects.get_or_create("new", {"category": "tea"}),
    "reindex": lambda: Product.objects.reindex(),
}

NOT_CONCERNING_TEA: dict[str, Write] = {
    "insert": lambda: Product(sku="new", category="herbs").insert(),
    "update": lambda: change("mint", price=100, name="Minze", tags={"x"}),
    "delete": lambda: Product.objects.delete("mint"),
    "delete of nothing": lambda: Product.objects.delete("none"),
    "many": lambda: Product.objects.save_many([Product(sku=f"n{n}", category="x") for n in range(300)]),
    "by query": lambda: Product.objects.find(Product.price < 4).update(price=1),
    "another model": lambda: Spread(n=1, kind="tea").save(),
    "refused": lambda: _refused(),
}


async def _inc(sku: str) -> None:
    await (await product(sku)).inc(price=1)


async def _refused() -> None:
    with pytest.raises(Exception, match="exists"):
        await Product(sku="earl", category="tea").insert()


@pytest.mark.parametrize("write", CONCERNING_TEA)
@pytest.mark.parametrize(
    "depends_on", [[Product], [TEA], Product.objects.find(TEA, ~(Product.sku == "x")).limit(1)]
)
async def test_write_inside_drops_the_answer(cache: Cache, depends_on: Any, write: str) -> None:
    kept = Kept(cache, depends_on)
    await kept.load()
    assert not await kept.dropped()
    await CONCERNING_TEA[write]()
    assert await kept.dropped()
    assert not await kept.dropped()


@pytest.mark.parametrize("write", NOT_CONCERNING_TEA)
async def test_write_outside_leaves_the_answer(cache: Cache, write: str) -> None:
    kept = Kept(cache, TEA)
    await kept.load()
    await NOT_CONCERNING_TEA[write]()
    assert not await kept.dropped()


CONDITIONS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    # condition, a change of `mint` that does not concern it, one that does
    "number": (Product.price > 10, {"price": 9}, {"price": 11}),
    "exact number": (Product.price == 2**60 + 1, {"price": 2**60}, {"price": 2**60 + 1}),
    "one of numbers": (Product.price.in_([7, 2**60 + 1]), {"price": 2**60}, {"price": 7}),
    "none": (Product.price == None, {"price": 9}, {"price": None}),  # noqa: E711
    "text": (Product.name.startswith("Pu"), {"name": "Pa"}, {"name": "Pu-Erh"}),
    "one of texts": (Product.name.in_(["A", "B"]), {"name": "C"}, {"name": "B"}),
    "tag among many": (
        Product.category.in_([f"c{n}" for n in range(60)]),
        {"category": "x"},
        {"category": "c59"},
    ),
    "member": (Product.tags.has("x"), {"tags": {"y"}}, {"tags": {"y", "x"}}),
    "unique": (Product.ean == "7", {"ean": "8"}, {"ean": "7"}),
    "key": (Product.sku == "mint", {}, {"blurb": "x"}),
    "and": ((Product.category == "herbs") & (Product.price < 2), {"price": 2}, {"price": 1}),
    "or": ((Product.category == "x") | (Product.price < 2), {"price": 2}, {"price": 1}),
    "not": (~(Product.category == "herbs"), {"price": 4}, {"category": "x"}),
}


@pytest.mark.parametrize("name", CONDITIONS)
async def test_condition_tells_which_writes_concern_it(cache: Cache, name: str) -> None:
    condition, aside, inside = CONDITIONS[name]
    kept = Kept(cache, condition)
    await kept.load()
    if aside:
        await change("mint", **aside)
        assert not await kept.dropped()
    await change("mint", **inside)
    assert await kept.dropped()
    await Product.objects.delete("mint")
    assert await kept.dropped()


async def test_nothing_depends_on_a_condition_that_never_holds(cache: Cache) -> None:
    kept = Kept(cache, Product.category.in_([]))
    await kept.load()
    await change("mint", price=1)
    assert not await kept.dropped()


async def test_model_is_invalidated_by_hand(cache: Cache, db: Database) -> None:
    tea, every = Kept(cache, TEA, "tea"), Kept(cache, Product, "all")
    other, spread = Kept(Cache(db, "other", ttl=60), TEA, "tea"), Kept(cache, Spread, "spread")
    for each in (tea, every, other, spread):
        await each.load()
    await cache.invalidate(Product)
    assert [await each.dropped() for each in (tea, every, other, spread)] == [True, True, True, False]
    await cache.invalidate(Spread, "tag")
    assert await spread.dropped()
    with pytest.raises(DeclarationError):
        await cache.invalidate(int)  # type: ignore[arg-type]  # that is the test


# Races


async def test_write_during_a_load_outdates_what_it_brings(cache: Cache) -> None:
    load = Loader("old", after=0.1)
    loading = asyncio.create_task(cache.get_or_load("k", load, depends_on=[TEA]))
    await load.begun.wait()
    await change("earl", price=1)
    assert await loading == "old"  # it was asked before the write
    load.gives, load.after = "new", 0
    assert await cache.get_or_load("k", load, depends_on=[TEA]) == "new"


async def test_caller_who_comes_after_a_write_does_not_get_what_began_before(cache: Cache) -> None:
    load = Loader("old", after=0.1)
    first = asyncio.create_task(cache.get_or_load("k", load, depends_on=[Product]))
    await load.begun.wait()
    load.gives = "new"
    await change("earl", price=1)
    assert await cache.get_or_load("k", load, depends_on=[Product]) == "new"
    assert await first == "old"
    assert load.runs == 2


async def test_invalidation_during_a_load_outdates_what_it_brings(cache: Cache) -> None:
    for invalidate in (
        lambda: cache.delete("k"),
        lambda: cache.invalidate("tag"),
        lambda: cache.clear(),
        lambda: cache.set("k", "set"),
    ):
        load = Loader("old", after=0.05)
        loading = asyncio.create_task(cache.get_or_load("k", load, tags="tag"))
        await load.begun.wait()
        await invalidate()
        await loading
        assert await cache.get("k") in (None, "set")
        await cache.delete("k")


async def test_writers_and_readers_at_once_never_meet_an_outdated_answer(real_url: str) -> None:
    async with Database(real_url) as db:
        db.bind(Product)
        cache = Cache(db, "race", ttl="5m")
        written = 0

        @cache(key="sum:{n}", depends_on=[TEA])
        async def price(n: int) -> int:
            found = await Product.objects.get("earl")
            await asyncio.sleep(0.002 * n)
            return found.price or 0

        async def write() -> None:
            nonlocal written
            for value in range(1, 150):
                await Product(sku="earl", category="tea", price=value).save()
                written = value
                await asyncio.sleep(0.003)

        async def read(n: int) -> None:
            while written < 149:
                least = written
                assert await price(n) >= least

        await Product(sku="earl", category="tea", price=0).save()
        await asyncio.gather(write(), *(read(n % 3) for n in range(12)))
        stats = await cache.stats()
        assert stats.hits > 0
        assert stats.loads > 10


# Expiry


async def test_expired_record_drops_the_answers_it_was_in(cache: Cache) -> None:
    kept, other = Kept(cache, TEA, "k"), Kept(cache, Product.category == "herbs", "other")
    await Product(sku="brief", category="tea").save(ttl=1)
    await kept.load()
    await other.load()
    await asyncio.sleep(1.05)
    assert await kept.dropped()
    assert not await kept.dropped()
    assert not await other.dropped()


async def test_expired_record_that_a_sweep_cleaned_drops_the_answers_it_was_in(cache: Cache) -> None:
    kept, text = Kept(cache, TEA, "k"), Kept(cache, Product.name.startswith("Br"), "text")
    await Product(sku="brief", category="tea", name="Brief").save(ttl=1)
    await kept.load()
    await text.load()
    await asyncio.sleep(1.05)
    await Product.objects.sweep()
    assert await kept.dropped()
    assert await text.dropped()


async def test_record_that_had_expired_before_the_load_drops_nothing(cache: Cache) -> None:
    await Product(sku="brief", category="tea").save(ttl=0.02)
    await asyncio.sleep(0.04)
    kept = Kept(cache, TEA)
    await kept.load()
    assert not await kept.dropped()
    await Product.objects.sweep()
    assert not await kept.dropped()


# Where they are


async def test_every_partition_is_watched(cache: Cache) -> None:
    await Spread.objects.save_many([Spread(n=n) for n in range(30)])
    kept, some = Kept(cache, Spread, "all"), Kept(cache, Spread.kind == "x", "x")
    await kept.load()
    await some.load()
    for n in range(10):
        await Spread(n=n, kind="k").save()
        assert await kept.dropped()
        assert not await some.dropped()
    for n in range(10):
        await Spread(n=n, kind="x").save()
        assert await some.dropped()


async def test_model_may_live_on_another_server(cache: Cache) -> None:
    async with Database("memory://cache-elsewhere") as elsewhere:
        elsewhere.bind(Product)
        kept = Kept(cache, [TEA, Spread])
        await kept.load()
        assert not await kept.dropped()
        await Product(sku="earl", category="tea").save()
        assert await kept.dropped()
        await Spread(n=1).save()
        assert await kept.dropped()


async def test_answer_depends_on_several(cache: Cache) -> None:
    kept = Kept(cache, [Product.price > 100, Product.sku == "mint", Spread])
    await kept.load()
    for write in (
        lambda: change("earl", price=101),
        lambda: change("mint", blurb="x"),
        lambda: Spread(n=1).save(),
    ):
        assert not await kept.dropped()
        await write()
        assert await kept.dropped()


async def test_dependence_of_a_call_follows_its_arguments(cache: Cache) -> None:
    runs: list[str] = []

    @cache(key="shelf:{category}", depends_on=lambda category: [Product.category == category])
    async def shelf(category: str) -> list[str]:
        runs.append(category)
        return await Product.objects.find(Product.category == category).pks()

    assert (await shelf("tea"), await shelf("herbs")) == (["earl"], ["mint"])
    await Product(sku="new", category="tea").save()
    assert (await shelf("tea"), await shelf("herbs")) == (["earl", "new"], ["mint"])
    assert runs == ["tea", "herbs", "tea"]


async def test_more_conditions_than_are_watched_depend_on_the_whole_model(cache: Cache) -> None:
    kept = [Kept(cache, Product.category == f"c{n}", f"k{n}") for n in range(MOST + 3)]
    for each in kept:
        await each.load()
    await change("mint", price=1)
    assert [await each.dropped() for each in kept] == [False] * MOST + [True] * 3
    await change("mint", category="c5")
    assert [await each.dropped() for each in kept] == [n == 5 or n >= MOST for n in range(MOST + 3)]


async def test_large_condition_depends_on_the_whole_model(cache: Cache) -> None:
    kept = Kept(cache, Product.sku.in_([f"s{n}" for n in range(2000)]))
    await kept.load()
    assert not await kept.dropped()
    await change("mint", price=1)
    assert await kept.dropped()


async def test_no_trace_is_left_when_all_were_dropped(cache: Cache, db: Database) -> None:
    kept, other = Kept(cache, Product), Kept(cache, Product.price > 4, "other")
    await kept.load()
    await other.load()
    (meta,) = await db.redis.keys("*cache-product*:meta")
    assert await db.redis.hexists(meta, "caches")
    await change("earl", price=9)
    assert not await db.redis.hexists(meta, "caches")


async def test_hit_of_a_dependent_answer_takes_one_round_trip(cache: Cache, db: Database) -> None:
    kept = Kept(cache, [TEA, Product, Spread])
    await kept.load()
    with round_trips(db) as trips:
        assert not await kept.dropped()
    assert trips.names == ["cache_read"]


async def test_get_finds_dependent_answers_where_the_dependence_is_known(cache: Cache, db: Database) -> None:
    await Kept(cache, TEA).load()
    assert await cache.get("k") == "answer"
    assert await Cache(db, "depends", ttl=60).get("k") is None
    await change("earl", price=1)
    assert await cache.get("k") is None


async def test_set_depends_from_then_on(cache: Cache) -> None:
    await cache.set("k", 1, depends_on=TEA)
    assert await cache.get("k") == 1
    await change("mint", price=1)
    assert await cache.get("k") == 1
    await change("earl", price=1)
    assert await cache.get("k") is None


async def test_outdated_answer_stands_in_for_a_failed_load(cache: Cache) -> None:
    load = Loader(1)
    await cache.get_or_load("k", load, depends_on=TEA, stale="1h")
    await change("earl", price=1)
    load.gives = OSError("away")
    assert await cache.get_or_load("k", load, depends_on=TEA, stale="1h") == 1
    with pytest.raises(OSError, match="away"):
        await cache.get_or_load("k", load, depends_on=TEA)


# Indexes that cannot tell


async def test_condition_on_an_index_that_is_not_ready_depends_on_the_whole_model(db: Database) -> None:
    class Older(Model):
        meta = Meta(db=db, prefix="cache-older")
        n: Key[int]
        price: int = 0

    class Newer(Model):
        meta = Meta(db=db, prefix="cache-older")
        n: Key[int]
        price: Range[int] = 0

    cache = Cache(db, "depends", ttl="5m", early=0)
    await Older(n=1, price=1).save()
    kept = Kept(cache, Newer.price > 5)
    await kept.load()
    assert not await kept.dropped()
    await Older(n=1, price=9).save()
    assert await kept.dropped()
    await Newer.objects.reindex()
    assert await kept.dropped()
    await Newer(n=1, price=1).save()
    assert await kept.dropped()
    await Newer(n=2, price=1).save()
    assert not await kept.dropped()
    await Older(n=2, price=9).save()  # a process of an older release: its writes are not in the index
    assert await kept.dropped()


async def test_record_of_another_program_drops_answers_when_it_is_changed(cache: Cache, db: Database) -> None:
    (key,) = await db.redis.keys("*cache-product*:r:earl")
    await db.redis.hset(key.replace(b"earl", b"alien"), mapping={"sku": "alien", "category": "tea"})
    kept = Kept(cache, Product.price > 100)
    await kept.load()
    await change("alien", blurb="x")
    assert await kept.dropped()


async def test_flushed_server_has_no_answers(cache: Cache, db: Database) -> None:
    async with Database("memory://cache-flushed") as elsewhere:
        elsewhere.bind(Product)
        kept = Kept(cache, Product)
        await kept.load()
        await elsewhere.redis.flushall()
        assert await kept.dropped()


# Declarations


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ("tea", "nothing to depend on"),
        ([1], "nothing to depend on"),
        (5, "nothing to depend on"),
        ([Model], "abstract|nothing to depend on"),
        ([str], "nothing to depend on"),
        (Product.objects.expiring(within="1h"), "time"),
    ],
)
def test_what_is_nothing_to_depend_on_is_refused(wrong: Any, match: str) -> None:
    cache = Cache(Database("memory://"), "p", ttl=60)
    with pytest.raises(DeclarationError, match=match):

        @cache(depends_on=wrong)
        async def answer() -> int:
            return 1


async def test_model_without_a_database_is_named(cache: Cache) -> None:
    class Lost(Model):
        n: Key[int]

    with pytest.raises(NotBoundError, match="Lost"):
        await cache.get_or_load("k", Loader(1), depends_on=Lost)


# Other processes

WRITER = """
import asyncio, sys
from redisom_lite import Database
from tests.integration.cache_models import Product

async def main():
    async with Database(sys.argv[1]) as db:
        db.bind(Product)
        await eval(sys.argv[2])

asyncio.run(main())
"""


async def elsewhere(url: str, expression: str) -> None:
    command = [sys.executable, "-c", WRITER, url, expression]
    await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=True)


async def test_write_of_another_process_drops_the_answer(real_url: str) -> None:
    async with Database(real_url) as db:
        db.bind(Product)
        cache = Cache(db, "depends", ttl="5m", early=0)
        await Product(sku="earl", category="tea").save()
        tea, every = Kept(cache, TEA, "tea"), Kept(cache, Product, "all")
        await tea.load()
        await every.load()
        await elsewhere(real_url, "Product(sku='mint', category='herbs').save()")
        assert not await tea.dropped()
        assert await every.dropped()
        await elsewhere(real_url, "Product.objects.delete('earl')")
        assert await tea.dropped()
        assert await every.dropped()


async def test_aborted_transaction_drops_nothing(cache: Cache, db: Database) -> None:
    kept = Kept(cache, Product)
    await kept.load()

    @db.atomic
    async def insert(tx: Transaction) -> None:
        tx.insert(Product(sku="new"), Product(sku="earl"))

    with pytest.raises(Exception, match="exists"):
        await insert()
    assert not await kept.dropped()
