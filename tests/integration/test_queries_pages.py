"""Pages: cursors that are refused when wrong, and that lose nothing while others write."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from redisom_lite import Composite, Database, Key, Meta, Model, Range, Tag
from redisom_lite.errors import DecodeError, QueryError
from tests.paging import paged


class Item(Model):
    meta = Meta(indexes=[Composite("kind", "price")])
    id: Key[str]
    kind: Tag[str] = "a"
    price: Range[int | None] = 0
    name: Range[str | None] = None


class Wide(Model):
    meta = Meta(partitions=3)
    id: Key[str]
    kind: Tag[str] = "a"
    price: Range[int | None] = 0
    name: Range[str | None] = None


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        database.bind(Item, Wide)
        yield database


def made(model: Any, count: int) -> list[Any]:
    # prices repeat, so that pages end within ties; every seventh record has none
    return [
        model(id=f"{n:03}", price=None if n % 7 == 0 else n % 5, name=f"n{n % 3}", kind="ab"[n % 2])
        for n in range(count)
    ]


ORDERS = {
    "key": lambda m: (),
    "key desc": lambda m: (m.id.desc(),),
    "price": lambda m: (m.price,),
    "price desc": lambda m: (m.price.desc(),),
    "name": lambda m: (m.name,),
    "name desc, price": lambda m: (m.name.desc(), m.price.asc()),
    "price, id desc": lambda m: (m.price, m.id.desc()),
}


async def pages(query: Any, size: int) -> list[list[str]]:
    return [[each.id for each in page] for page in await paged(query, size)]


async def test_page_reads_no_object_of_the_record_behind_it(db: Database) -> None:
    await Item.objects.save_many(made(Item, 4))
    await db.redis.hset("{item}:r:003", "price", "none of these")  # which no object can be made of
    page = await Item.objects.find().page(size=3)
    assert ([each.id for each in page.items], page.next is not None) == (["000", "001", "002"], True)
    with pytest.raises(DecodeError, match=r"Item\.price"):
        await Item.objects.find().page(size=3, after=page.next)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("model", [Item, Wide])
async def test_pages_are_full_and_together_the_whole(db: Database, model: Any, order: str) -> None:
    await model.objects.save_many(made(model, 60))
    query = model.objects.find().order_by(*ORDERS[order](model))
    whole = await query.pks()
    found = await pages(query, 7)
    assert [pk for page in found for pk in page] == whole
    assert [len(page) for page in found] == [7] * 8 + [4]


async def test_the_last_page_has_no_next(db: Database) -> None:
    await Item.objects.save_many(made(Item, 4))
    page = await Item.objects.find().page(size=4)
    assert len(page.items) == 4
    assert page.next is None
    empty = await Item.objects.find(Item.kind == "nothing").page()
    assert (empty.items, empty.next) == ([], None)


async def test_cursors_are_url_safe_and_show_no_value(db: Database) -> None:
    await Item.objects.save_many([Item(id=f"{n}?/ü", name="\0secret&=") for n in range(5)])
    page = await Item.objects.find().order_by(Item.name).page(size=2)
    assert page.next is not None
    assert re.fullmatch(r"[A-Za-z0-9_-]+", page.next)


async def test_damaged_cursors_are_refused(db: Database) -> None:
    await Item.objects.save_many(made(Item, 30))
    query = Item.objects.find().order_by(Item.price)
    cursor = (await query.page(size=5)).next
    assert cursor is not None
    rng = random.Random(1)
    damaged: list[Any] = [
        "",
        "x",
        "é",
        "a b",
        cursor[:-1],
        cursor + "A",
        cursor + "=",
        cursor[1:],
        "\0",
        5,
        b"x",
    ]
    for at in rng.sample(range(len(cursor)), 20):
        other = rng.choice([c for c in "ABCabc019_-" if c != cursor[at]])
        damaged.append(cursor[:at] + other + cursor[at + 1 :])
    for wrong in damaged:
        with pytest.raises(QueryError, match="cursor"):
            await query.page(size=5, after=wrong)


async def test_cursors_of_other_queries_are_refused(db: Database) -> None:
    await Item.objects.save_many(made(Item, 30))
    await Wide.objects.save_many(made(Wide, 30))
    cursor = (await Item.objects.find().order_by(Item.price).page(size=5)).next
    others: list[Any] = [
        Item.objects.find(),
        Item.objects.find().order_by(Item.price.desc()),
        Item.objects.find(Item.kind == "a").order_by(Item.price),
        Item.objects.find().order_by(Item.price, Item.name),
        Wide.objects.find().order_by(Wide.price),
    ]
    for other in others:
        with pytest.raises(QueryError, match="another query"):
            await other.page(after=cursor)


async def test_a_cursor_serves_any_page_size(db: Database) -> None:
    await Item.objects.save_many(made(Item, 30))
    query = Item.objects.find().order_by(Item.name)
    first = await query.page(size=5)
    rest = await query.page(size=1000, after=first.next)
    assert [p.id for p in first.items + rest.items] == await query.pks()


async def test_limited_and_offset_queries_have_no_pages(db: Database) -> None:
    for query in (Item.objects.find().limit(5), Item.objects.find().offset(1)):
        with pytest.raises(QueryError, match="limit or offset has no pages"):
            await query.page()
    for size in (0, -1, True, 1.5, "5"):
        with pytest.raises(QueryError, match="at least 1"):
            await Item.objects.find().page(size=size)  # type: ignore[arg-type]
        with pytest.raises(QueryError, match="at least 1"):
            await anext(Item.objects.find().batches(size))  # type: ignore[arg-type]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("model", [Item, Wide])
async def test_records_that_stay_put_are_neither_skipped_nor_repeated(
    db: Database, model: Any, order: str
) -> None:
    await model.objects.save_many(made(model, 60))
    query = model.objects.find().order_by(*ORDERS[order](model))
    rng, still = random.Random(order), set[str]()
    movers = {f"{n:03}" for n in range(0, 60, 3)}
    still = {f"{n:03}" for n in range(60)} - movers
    over = asyncio.Event()

    async def disturb() -> None:
        while not over.is_set():
            pk = rng.choice(sorted(movers))
            mover = model(
                id=pk, price=rng.choice([None, *range(6)]), name=rng.choice(["n0", "n1", "n2", None])
            )
            await (model.objects.delete(pk) if rng.random() < 0.3 else mover.save())
            await model(id=f"{rng.randint(0, 59):03}x", price=rng.randint(0, 5)).save()
            await asyncio.sleep(0)

    disturbing = asyncio.create_task(disturb())
    try:
        for size in (2, 9):
            found = [pk for page in await pages(query, size) for pk in page if pk in still]
            assert len(found) == len(set(found))
            assert set(found) == still
    finally:
        over.set()
        await disturbing


async def test_a_cursor_goes_on_where_its_record_was_though_that_has_gone(db: Database) -> None:
    await Item.objects.save_many(made(Item, 20))
    query = Item.objects.find().order_by(Item.price.desc())
    whole = await query.pks()
    first = await query.page(size=6)
    await Item.objects.delete(first.items[-1].id)
    assert [p.id for p in (await query.page(size=50, after=first.next)).items] == whole[6:]
