"""Containers that are parts of a record: they live and die with it, whatever ends it, and come back with none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from redisom_lite import Composite, Database, Key, Manager, Meta, Model, Range, Tag, expiry, memory
from redisom_lite.containers import Counter, HashMap, ListQueue, Part, SetOf, Text, WindowCounter
from redisom_lite.errors import ConstraintError, DeclarationError, NotFoundError, QueryError
from redisom_lite.transaction import Transaction


class Basket(Model, abstract=True):
    items = Part(HashMap[str, int])


class Cart(Basket):
    meta = Meta(prefix="part-cart", indexes=[Composite("user", "total")])
    sliding = Manager(ttl="10s", sliding=True)
    id: Key[str]
    user: Tag[str] = "u"
    total: Range[int] = 0
    orders = Part(ListQueue[int])
    seats = Part(Counter, ge=0, le=3)
    visits = Part(WindowCounter, window="1m")


class Numbered(Basket):
    meta = Meta(prefix="part-numbered", partitions=3)
    id: Key[int]
    seen = Part(SetOf[int])


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url, namespace="parts") as opened:
        opened.bind(Cart, Numbered)
        yield opened


async def keys(db: Database) -> set[str]:
    """The keys of parts."""
    return {key.decode() for key in await db.redis.keys("*:p:*")}


async def filled(**fields: Any) -> Cart:
    cart = await Cart(id="c:1 {x}", **fields).save()
    await cart.items.update({"tea": 2, "milk": 1})
    await cart.orders.push(1, 2, 3)
    await cart.orders.take(lease="1m")
    await cart.seats.incr(2)
    await cart.visits.incr()
    return cart


async def test_part_is_that_of_its_record(db: Database) -> None:
    cart, other = await filled(), await Cart(id="other").save()
    assert await cart.items.items() == {"tea": 2, "milk": 1}
    assert await other.items.items() == {}
    assert await Cart.items.of("c:1 {x}").get("tea") == 2
    assert (await Cart.objects.get("c:1 {x}")) == cart
    assert await cart.orders.slice() == [2, 3]
    assert await cart.visits.get() == 1
    with pytest.raises(ConstraintError, match="bounds"):
        await cart.seats.incr(2)


async def test_parts_of_inheriting_models_are_apart(db: Database) -> None:
    await (await Cart(id="1").save()).items.set("tea", 1)
    numbered = await Numbered(id=1).save()
    await numbered.items.set("tea", 5)
    await numbered.seen.add(7)
    assert await Cart.items.of("1").get("tea") == 1
    assert await Numbered.items.of(1).get("tea") == 5
    assert await numbered.delete()
    assert await Numbered.seen.of(1).members() == set()
    assert await Cart.items.of("1").get("tea") == 1


async def delete_object(db: Database, cart: Cart) -> None:
    await cart.delete()


async def delete_by_key(db: Database, cart: Cart) -> None:
    await Cart.objects.delete_many([cart.id, "none"])


async def delete_by_query(db: Database, cart: Cart) -> None:
    assert await Cart.objects.find(Cart.user == "u").delete() == 1


async def delete_in_transaction(db: Database, cart: Cart) -> None:
    async with db.transaction() as tx:
        tx.delete(await tx.get(Cart, cart.id))


async def replace_in_transaction(db: Database, cart: Cart) -> None:
    @db.atomic()
    async def replace(tx: Transaction) -> None:
        tx.delete(await tx.get(Cart, cart.id))
        tx.insert(Cart(id=cart.id))

    await replace()


async def delete_in_batch(db: Database, cart: Cart) -> None:
    async with db.batch() as batch:
        batch.delete(cart)


async def end(db: Database, cart: Cart) -> None:
    await cart.expire("20ms")
    await asyncio.sleep(0.03)


async def end_by_query(db: Database, cart: Cart) -> None:
    assert await Cart.objects.find().expire("20ms") == 1
    await asyncio.sleep(0.03)


@pytest.mark.parametrize(
    "death",
    [
        delete_object,
        delete_by_key,
        delete_by_query,
        delete_in_transaction,
        replace_in_transaction,
        delete_in_batch,
        end,
        end_by_query,
    ],
)
async def test_parts_die_with_their_record(db: Database, death: Any) -> None:
    cart = await filled()
    await death(db, cart)
    assert await keys(db) == set()
    assert await Cart.items.of(cart.id).items() == {}
    await Cart(id=cart.id).save()
    assert await Cart.items.of(cart.id).len() == 0


async def test_part_without_a_record_is_refused_and_not_written(db: Database) -> None:
    cart = Cart(id="new")
    with pytest.raises(NotFoundError, match=r"Cart\.items.*save the record first"):
        await cart.items.set("tea", 1)
    assert await cart.items.get("tea") is None
    await cart.save()
    await cart.items.set("tea", 1)
    await Cart.objects.delete("new")
    for write in (
        lambda: cart.items.set("tea", 1),
        lambda: cart.orders.push(1),
        lambda: cart.orders.take(lease="1s"),
        lambda: cart.seats.incr(),
        lambda: cart.visits.incr(),
    ):
        with pytest.raises(NotFoundError):
            await write()
    assert await keys(db) == set()


async def test_parts_of_a_model_without_records_leave_no_key_that_names_one(db: Database) -> None:
    cart = await filled()
    await cart.delete()
    left = {key.decode() for key in await db.redis.keys("*")}
    assert not [key for key in left if "c%3A1" in key]
    assert len(left) <= 5


async def test_parts_share_their_record_s_lifetime(db: Database) -> None:
    cart = await filled(total=1)
    assert await cart.items.ttl() is None
    await cart.expire("1m")
    await same_ends(db, cart, timedelta(minutes=1))
    await cart.extend("1m")
    await same_ends(db, cart, timedelta(minutes=2))
    await cart.persist()
    assert await cart.items.ttl() is None
    cart.total = 2
    await cart.save(ttl="5m")
    await same_ends(db, cart, timedelta(minutes=5))
    await cart.items.delete()
    await cart.items.set("late", 1)
    await same_ends(db, cart, timedelta(minutes=5))
    async with db.transaction() as tx:
        tx.expire(await tx.get(Cart, cart.id), "7m")
    await same_ends(db, cart, timedelta(minutes=7))


async def same_ends(db: Database, cart: Cart, about: timedelta) -> None:
    began = time.monotonic()
    left = await cart.ttl()
    assert left is not None
    assert about - timedelta(seconds=5) < left <= about
    assert len(await keys(db)) == 6
    for part in (cart.items, cart.orders, cart.seats, cart.visits):
        ours = await part.ttl()
        assert ours is not None
        since = timedelta(seconds=time.monotonic() - began, milliseconds=10)
        assert left - since <= ours <= left


async def test_sliding_reads_and_saves_renew_the_parts(db: Database) -> None:
    cart = Cart.sliding.model(id="s")
    await Cart.sliding.save_many([cart])
    await Cart.items.of("s").set("tea", 1)
    for _ in range(2):
        await db.redis.pexpire(Cart.items.of("s").key, 4000)
        loaded = await Cart.sliding.get("s")
        assert (await loaded.items.ttl() or timedelta()) > timedelta(seconds=5)
        await db.redis.pexpire(Cart.items.of("s").key, 4000)
        await loaded.save()
        assert (await loaded.items.ttl() or timedelta()) > timedelta(seconds=5)


async def test_part_has_no_lifetime_of_its_own(db: Database) -> None:
    cart = await filled()
    with pytest.raises(QueryError, match="lifetime of its record"):
        await cart.items.expire("1s")
    with pytest.raises(QueryError, match="lifetime of its record"):
        await cart.items.persist()
    with pytest.raises(QueryError, match="lifetime of its record"):
        await expiry.keys(db, cart.items.key).set("1s")


async def test_save_over_a_live_record_keeps_its_parts(db: Database) -> None:
    cart = await filled()
    await Cart(id=cart.id, total=9).save()
    await Cart.objects.save_many([Cart(id=cart.id, total=10)])
    assert await cart.items.len() == 2
    assert (await Cart.objects.check()).ok


async def test_parts_of_a_record_that_another_program_deleted_do_not_come_back(db: Database) -> None:
    cart = await filled()
    (record,) = await db.redis.keys("*:r:*")
    await db.redis.delete(record)
    await Cart(id=cart.id).save()
    assert await keys(db) == set()


async def test_parts_of_an_evicted_record_are_cleaned_with_its_entries(db: Database) -> None:
    cart = await filled()
    await cart.expire("1h")
    (record,) = await db.redis.keys("*:r:*")
    await db.redis.delete(record)
    assert await Cart.objects.find(Cart.user == "u").all() == []  # a query that meets it has it cleaned
    assert await keys(db) == set()
    assert (await Cart.objects.check()).ok


async def test_check_finds_parts_without_a_record_and_repairs(db: Database) -> None:
    cart = await filled()
    await (await Cart(id="whole").save()).items.set("tea", 1)
    assert (await Cart.objects.check()).ok
    record, deadlines = (await db.redis.keys("*:r:c*"))[0], await db.redis.keys("*:due")
    await db.redis.delete(record, *deadlines)
    await db.redis.zrem((await db.redis.keys("*:k"))[0], cart.id)
    found = await Cart.objects.check()
    assert {"items", "orders", "seats", "visits"} <= {
        each.index for each in found.examples if each.kind == "dangling"
    }
    await Cart.objects.check(repair=True)
    assert (await Cart.objects.check()).ok
    assert await keys(db) == {Cart.items.of("whole").key}


async def test_part_is_written_once_over_many_tasks_and_deletes(db: Database) -> None:
    """Writers against deleters: at the end there is no part without its record."""

    async def write(n: int) -> None:
        for _ in range(20):
            try:
                await Cart.items.of("c").incr(f"k{n}")
            except NotFoundError:
                await asyncio.sleep(0)

    async def replace() -> None:
        for _ in range(20):
            await Cart(id="c").save()
            await asyncio.sleep(0.001)
            await Cart.objects.delete("c")

    await asyncio.gather(replace(), *(write(n) for n in range(8)))
    assert await keys(db) == set()


async def test_waiting_for_an_item_of_a_part(db: Database) -> None:
    cart = await Cart(id="c").save()
    waiting = asyncio.create_task(cart.orders.pop(wait="5s"))
    await asyncio.sleep(0.05)
    await cart.orders.push(4)
    assert await waiting == 4


def test_declarations_that_cannot_work_are_refused() -> None:
    with pytest.raises(DeclarationError, match="HashMap\\[str, int\\]"):
        Part(HashMap)
    with pytest.raises(DeclarationError, match="options"):
        Part(Counter, ttl="1h")
    with pytest.raises(DeclarationError, match="window"):
        Part(WindowCounter)
    with pytest.raises(DeclarationError, match="containers"):
        Part(dict)  # type: ignore[type-var]  # what the test is about
    with pytest.raises(DeclarationError, match="save is a part that hides"):

        class Hiding(Model):
            id: Key[str]
            save = Part(Text)

    with pytest.raises(DeclarationError, match="items is a part that hides"):

        class Parent(Model, abstract=True):
            items: str = ""

        class HidingField(Parent):
            id: Key[str]
            items = Part(Text)

    with pytest.raises(DeclarationError, match="annotated like a field"):

        class Annotated(Model):
            id: Key[str]
            items: Part[Text] = Part(Text)


async def test_parts_are_weighed_with_their_records(real_url: str) -> None:
    async with Database(real_url) as db:
        db.bind(Cart)
        cart = await Cart(id="c").save()
        before = (await memory.usage(Cart)).record_bytes
        await cart.items.update({f"item {n}": n for n in range(1000)})
        assert (await memory.usage(Cart)).record_bytes > before + 10_000
