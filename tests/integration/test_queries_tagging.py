"""Tags added and removed by query, and scans by a test in Python."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

import pytest
from pydantic import ValidationError

from redisom_lite import Composite, Database, Field, Key, Manager, Meta, Model, Range, Tag
from redisom_lite.errors import QueryError
from redisom_lite.scanning import ScanWarning
from tests import servers


class Product(Model):
    meta = Meta(prefix="tagging", indexes=[Composite("tags", "price")], versioned=True)
    sku: Key[str]
    price: Range[int] = 0
    tags: Tag[set[str]] = Field(default_factory=set)
    sizes: Tag[list[int] | None] = None
    few: Tag[Annotated[list[str], Field(max_length=2)]] = Field(default_factory=list)
    kind: Tag[str] = "k"
    blurb: str = ""


class Kept(Model):
    objects = Manager(ttl="1h", sliding=True)
    meta = Meta(prefix="tagging-kept")
    sku: Key[str]
    tags: Tag[set[str]] = Field(default_factory=set)


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        opened.bind(Product, Kept)
        yield opened


async def stock(count: int = 4) -> None:
    await Product.objects.save_many(
        [Product(sku=f"p{n}", price=n, tags={"all", f"t{n}"}, blurb=f"number {n}") for n in range(count)]
    )


async def test_added_tags_are_found_and_counted(db: Database) -> None:
    await stock()
    assert await Product.objects.find(Product.price >= 2).add_tags(Product.tags, "sale", "new") == 2
    assert await Product.objects.find(Product.tags.has("sale")).pks() == ["p2", "p3"]
    assert await Product.objects.find(Product.tags.has("sale"), Product.price > 2).pks() == ["p3"]
    assert (await Product.objects.get("p2")).tags == {"all", "t2", "sale", "new"}
    assert await Product.objects.find().add_tags(Product.tags, "new") == 2
    assert (await Product.objects.check()).ok


async def test_removed_tags_are_found_no_more(db: Database) -> None:
    await stock()
    assert await Product.objects.find().remove_tags("tags", "all", "t1") == 4
    assert await Product.objects.find().remove_tags(Product.tags, "all") == 0
    assert await Product.objects.find(Product.tags.has("all")).count() == 0
    assert (await Product.objects.get("p1")).tags == set()
    assert await Product.objects.find().facets(Product.tags) == {"t0": 1, "t2": 1, "t3": 1}
    assert (await Product.objects.check()).ok


async def test_lists_keep_their_order_and_none_becomes_a_list(db: Database) -> None:
    await Product(sku="a", sizes=[3, 1]).save()
    await Product(sku="b").save()
    assert await Product.objects.find().add_tags(Product.sizes, 2, 1) == 2
    assert (await Product.objects.get("a")).sizes == [3, 1, 2]
    assert (await Product.objects.get("b")).sizes == [2, 1]
    assert await Product.objects.find(Product.sizes == None).count() == 0  # noqa: E711
    assert await Product.objects.find().remove_tags(Product.sizes, 1) == 2
    assert (await Product.objects.get("a")).sizes == [3, 2]
    assert (await Product.objects.check()).ok


async def test_what_the_field_does_not_allow_is_refused(db: Database) -> None:
    await Product(sku="a", few=["x", "y"]).save()
    with pytest.raises(ValidationError):
        await Product.objects.find().add_tags(Product.few, "z")
    with pytest.raises(QueryError, match="cannot hold such a tag"):
        await Product.objects.find().add_tags("tags", 1)
    with pytest.raises(QueryError, match="does not hold several tags"):
        await Product.objects.find().add_tags("kind", "z")
    with pytest.raises(QueryError, match="no field"):
        await Product.objects.find().add_tags("none", "z")
    assert (await Product.objects.get("a")).few == ["x", "y"]


async def test_first_records_only_with_a_limit(db: Database) -> None:
    await stock()
    assert (
        await Product.objects.find().order_by(Product.price.desc()).limit(2).add_tags(Product.tags, "top")
        == 2
    )
    assert await Product.objects.find(Product.tags.has("top")).pks() == ["p2", "p3"]


async def test_lifetime_is_kept_and_version_counts(db: Database) -> None:
    await stock(1)
    loaded = await Product.objects.get("p0")
    await Product.objects.find().add_tags(Product.tags, "new")
    with pytest.raises(Exception, match="changed since it was read"):
        await loaded.update(price=7)
    kept = await Kept(sku="a").save()
    await kept.expire("1m")
    await Kept.objects.find().add_tags(Kept.tags, "new")
    assert (await kept.ttl() or timedelta()) > timedelta(minutes=59)


async def test_tags_added_and_removed_at_once_by_many_are_all_there() -> None:
    async with Database(servers.fresh_url("redis")) as db:
        db.bind(Product)
        await stock(30)
        everything = Product.objects.find()
        await asyncio.gather(
            *(everything.add_tags(Product.tags, f"new{n}") for n in range(8)),
            *(everything.remove_tags(Product.tags, f"t{n}") for n in range(8)),
            everything.remove_tags(Product.tags, "all"),
        )
        new = {f"new{n}" for n in range(8)}
        for record in await everything:
            number = int(record.sku[1:])
            assert record.tags == (new if number < 8 else new | {f"t{number}"})
        assert (await Product.objects.check()).ok


async def test_record_deleted_meanwhile_does_not_come_back() -> None:
    async with Database(servers.fresh_url("redis")) as db:
        db.bind(Product)
        await stock(300)
        added, _ = await asyncio.gather(
            Product.objects.find().add_tags(Product.tags, "x"), Product.objects.find().delete()
        )
        assert added <= 300
        assert await Product.objects.find().count() == 0
        assert (await Product.objects.check()).ok


# Scans


async def test_scan_finds_by_a_field_without_an_index_and_warns(db: Database) -> None:
    await stock(20)
    with pytest.warns(ScanWarning, match=r"Product: scan\(\) reads every record") as caught:
        found = await Product.objects.scan(lambda product: product.blurb.endswith("3"))
    assert [product.sku for product in found] == ["p13", "p3"]
    assert caught[0].filename == __file__
    with pytest.warns(ScanWarning) as caught:
        narrow = Product.objects.find(Product.price < 10).scan(lambda product: "3" in product.blurb)
    assert caught[0].filename == __file__
    assert [product.sku async for product in narrow] == ["p3"]


async def test_scan_is_bounded(db: Database) -> None:
    await stock(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)
        with pytest.raises(QueryError, match="more than 4 records"):
            await Product.objects.scan(lambda product: True, most=4)
        assert len(await Product.objects.scan(lambda product: True, most=5)) == 5
        with pytest.raises(QueryError, match="from 1 on"):
            Product.objects.scan(lambda product: True, most=0)
        with pytest.raises(QueryError, match="takes a function"):
            Product.objects.scan(True)  # type: ignore[arg-type]  # what the test is about
