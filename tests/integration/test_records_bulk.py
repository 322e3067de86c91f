"""Saving and deleting many records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from redisom_lite import Database
from redisom_lite.errors import BulkError, ConflictError, NotFoundError, QueryError, UniqueError
from redisom_lite.testing import round_trips
from tests.integration.record_models import Doc, Part, Product, keys_of, opened


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with opened(url) as opened_db:
        yield opened_db


def _products(count: int) -> list[Product]:
    return [
        Product(
            sku=f"p{n:04}",
            name=f"name {n % 7}",
            category=f"c{n % 5}",
            tags={f"t{n % 3}", "all"} if n % 4 else set(),
            price=Decimal(n) / 8,
            stock=n % 1000,
            weight=None if n % 2 else n / 3,
            ean=None if n % 3 else str(n),
        )
        for n in range(count)
    ]


async def test_save_many_stores_and_indexes_all(db: Database) -> None:
    products = _products(1200)
    assert await Product.objects.save_many(products) == 1200
    assert await Product.objects.get_many([p.sku for p in products]) == products
    assert await Product.objects.find(Product.category == "c1", Product.stock < 100).count() == 40
    assert await Product.objects.save_many([]) == 0


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
async def test_save_many_over_existing_records_replaces_them(db: Database, batch_size: int) -> None:
    await Product.objects.save_many(_products(40))
    changed = [
        product.model_copy(update={"category": "x", "tags": {"new"}, "ean": None})
        for product in _products(50)
    ]
    assert await Product.objects.save_many(changed, batch_size=batch_size) == 50
    assert await Product.objects.get_many([p.sku for p in changed]) == changed


async def test_save_many_of_loaded_objects_writes_what_changed(db: Database) -> None:
    await Product.objects.save_many(_products(30))
    found = [one for one in await Product.objects.get_many([f"p{n:04}" for n in range(30)]) if one]
    await (await Product.objects.get("p0003")).update(blurb="theirs")
    for product in found:
        product.stock += 1
    assert await Product.objects.save_many([*found, Product(sku="new")]) == 31
    assert (await Product.objects.get("p0003")).blurb == "theirs"
    assert (await Product.objects.get("p0029")).stock == 30
    assert await Product.objects.save_many(found) == 30


async def test_records_of_many_tags_are_changed_a_few_at_a_time(db: Database) -> None:
    def made(count: int) -> list[Product]:
        tags = {f"tag {n}" for n in range(count)}
        return [each.model_copy(update={"tags": tags}) for each in _products(20)]

    find = Product.objects.find
    steps = list[int]()
    for count in (1, 300):
        await Product.objects.save_many(made(count))
        with round_trips(db) as trips:
            assert await find().update(stock=7) == 20
            assert await find().add_tags(Product.tags, "more") == 20
            assert await find().delete() == 20
            await Product.objects.save_many(made(count), ttl=0.001)
            await asyncio.sleep(0.01)
            assert await Product.objects.sweep() <= 20
            await Product.objects.save_many(made(count))
            assert (await Product.objects.check()).ok
            assert await Product.objects.delete_many([f"p{n:04}" for n in range(20)]) == 20
        steps.append(trips.names.count("apply"))
    assert steps[1] > 4 * steps[0]
    assert await find().count() == 0


async def test_save_many_takes_generators_and_tells_progress(db: Database) -> None:
    told: list[tuple[int, int | None]] = []

    def each() -> Iterator[Product]:
        yield from _products(25)

    def tell(done: int, total: int | None) -> None:
        told.append((done, total))

    assert await Product.objects.save_many(each(), batch_size=10, progress=tell) == 25
    assert told == [(10, None), (20, None), (25, None)]
    told.clear()
    await Product.objects.save_many(_products(5), batch_size=3, progress=tell)
    assert told == [(3, 5), (5, 5)]


async def test_save_many_reports_each_failure_and_saves_the_rest(db: Database) -> None:
    await Product.objects.create(sku="owner", ean="taken")
    gone = await Product.objects.create(sku="gone")
    await Product.objects.delete("gone")
    gone.stock = 5
    broken = Product(sku="broken")
    broken.__dict__["stock"] = "many"
    records: list[Any] = [
        Product(sku="a"),
        broken,
        Product(sku="b", ean="taken"),
        Product(sku="c", weight=float("nan")),
        gone,
        Doc(id=1),
        Product(sku="d", ean="once"),
        Product(sku="e", ean="once"),
        Product(sku="f"),
    ]
    for batch_size in (2, 100):
        with pytest.raises(BulkError) as failed:
            await Product.objects.save_many(records, batch_size=batch_size)
        kinds = [(position, type(error)) for position, error in failed.value.errors]
        assert kinds == [
            (1, ValidationError),
            (2, UniqueError),
            (3, ValidationError),
            (4, NotFoundError),
            (5, QueryError),
            (7, UniqueError),
        ]
        assert failed.value.errors[1][1].value_owner_pk == "owner"
        assert [await Product.objects.exists(sku) for sku in "abcdef"] == [
            True,
            False,
            False,
            True,
            False,
            True,
        ]
        assert not await Product.objects.exists("gone")


async def test_save_many_of_two_with_one_key_keeps_the_last(db: Database) -> None:
    twice = [
        Product(sku="a", stock=1, tags={"x"}, ean="1"),
        Product(sku="b"),
        Product(sku="a", stock=2, tags={"y"}),
    ]
    assert await Product.objects.save_many(twice) == 3
    found = await Product.objects.get("a")
    assert (found.stock, found.tags, found.ean) == (2, {"y"}, None)


async def test_save_many_of_one_object_twice(db: Database) -> None:
    product = await Product.objects.create(sku="a", stock=1)

    def changing() -> Iterator[Product]:
        for stock in (2, 3, 3, 4):
            product.stock = stock
            yield product

    assert await Product.objects.save_many(changing(), batch_size=1) == 4
    assert (await Product.objects.get("a")).stock == 4


async def test_save_many_of_versioned_models_notices_conflicts(db: Database) -> None:
    assert await Doc.objects.save_many([Doc(id=n) for n in range(5)]) == 5
    docs = [one for one in await Doc.objects.get_many(range(5)) if one]
    await (await Doc.objects.get(2)).update(body="theirs")
    for doc in docs:
        doc.title = "mine"
    with pytest.raises(BulkError) as failed:
        await Doc.objects.save_many(docs)
    assert [(position, type(error)) for position, error in failed.value.errors] == [(2, ConflictError)]
    assert (await Doc.objects.get(3)).title == "mine"
    for doc in docs[3:]:
        doc.title = "again"
    assert await Doc.objects.save_many(docs[3:]) == 2


async def test_save_many_frees_values_of_records_deleted_by_others_and_repeats_nothing(db: Database) -> None:
    await Product.objects.create(sku="a", ean="1", stock=1)
    docs = [await Product.objects.create(sku="b", stock=1), Product(sku="c", ean="1")]
    await db.redis.delete("{shop%3Aproduct}:r:a")
    docs[0].stock = 2
    assert await Product.objects.save_many(docs) == 2
    await Product.objects.check(repair=True)


async def test_bulk_work_spreads_over_partitions(db: Database) -> None:
    assert await Part.objects.save_many([Part(id=n - 150, size=n) for n in range(300)]) == 300
    assert await Part.objects.find(Part.size >= 100).count() == 200
    assert await Part.objects.delete_many(range(-150, 200)) == 300
    assert await Part.objects.find().count() == 0


async def test_delete_many_counts_what_there_was(db: Database) -> None:
    await Product.objects.save_many(_products(50))
    assert await Product.objects.delete_many(f"p{n:04}" for n in range(40, 60)) == 10
    assert await Product.objects.delete_many(["p0001", "p0001", "x"]) == 1
    assert await Product.objects.delete_many([p.sku for p in _products(50)], batch_size=7) == 39
    assert not await keys_of(db)


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.5, "10"])
async def test_batch_sizes_that_are_none_are_refused(db: Database, batch_size: Any) -> None:
    with pytest.raises(QueryError, match="batch_size"):
        await Product.objects.save_many([Product(sku="a")], batch_size=batch_size)
    with pytest.raises(QueryError, match="batch_size"):
        await Product.objects.delete_many(["a"], batch_size=batch_size)
    assert not await keys_of(db)


async def test_wide_and_large_records_are_cut_into_steps(db: Database) -> None:
    large = [Product(sku=str(n), blurb="x" * 300_000, tags={f"t{t}" for t in range(3000)}) for n in range(6)]
    assert await Product.objects.save_many(large) == 6
    assert (await Product.objects.get("5")).tags == large[5].tags
    await large[0].update(tags={"one"})
    assert await Product.objects.delete_many([str(n) for n in range(6)]) == 6
    assert not await keys_of(db)
