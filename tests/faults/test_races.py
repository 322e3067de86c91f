"""Many writers at once on a real server: nothing lost, nothing stale, one winner."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from redisom_lite import Database
from redisom_lite.errors import AlreadyExistsError, BulkError, ConstraintError, NotFoundError, UniqueError
from tests import oracle
from tests.integration.record_models import MODELS, Product, opened

long = pytest.mark.parametrize("rounds", [60, pytest.param(500, marks=pytest.mark.slow)])


@pytest.fixture
async def db(real_url: str) -> AsyncIterator[Database]:
    async with opened(real_url) as opened_db:
        yield opened_db


@long
async def test_two_writers_of_one_field_leave_one_entry(db: Database, rounds: int) -> None:
    await Product.objects.create(sku="a")
    for n in range(rounds):
        one, two = await asyncio.gather(Product.objects.get("a"), Product.objects.get("a"))
        one.category, two.category = f"one{n}", f"two{n}"
        one.stock, two.stock = n + 1, n + 2
        await asyncio.gather(one.save(), two.save())
        tags = [key async for key in db.redis.scan_iter("{shop%3Aproduct}:t:category:*")]
        category = (await Product.objects.get("a")).category
        assert tags == [b"{shop%3Aproduct}:t:category:" + category.encode()]
        if n % 50 == 0:
            await oracle.check(db, *MODELS)


@long
async def test_two_writers_of_different_fields_lose_nothing(db: Database, rounds: int) -> None:
    await Product.objects.create(sku="a")
    for n in range(rounds):
        one, two = await asyncio.gather(Product.objects.get("a"), Product.objects.get("a"))
        one.category, two.stock, two.blurb = f"c{n}", n % 900, str(n)
        await asyncio.gather(one.save(), two.save())
        found = await Product.objects.get("a")
        assert (found.category, found.stock, found.blurb) == (f"c{n}", n % 900, str(n))
        assert await db.redis.zscore(f"{{shop%3Aproduct}}:c:category:price:c{n}", "a") == 1
        if n % 50 == 0:
            await oracle.check(db, *MODELS)


async def test_fifty_keys_of_eight_racers_have_fifty_winners(db: Database) -> None:
    outcomes = await asyncio.gather(
        *(Product(sku=str(key), stock=racer).insert() for key in range(50) for racer in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Product) for one in outcomes) == 50
    assert sum(isinstance(one, AlreadyExistsError) for one in outcomes) == 350


async def test_unique_racers_and_deleters_never_share_a_value(db: Database) -> None:
    async def take(n: int) -> None:
        for _ in range(15):
            try:
                product = await Product.objects.create(sku=f"s{n}", ean=random.choice("ab"))
            except UniqueError:
                continue
            await asyncio.sleep(0)
            with contextlib.suppress(UniqueError):
                await product.update(ean=random.choice(["a", "b", None]))
            await product.delete()

    await asyncio.gather(*(take(n) for n in range(12)))
    assert await Product.objects.find().count() == 0


async def test_random_writers_leave_every_index_right(db: Database) -> None:
    async def write(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(60):
            await _tolerant(dice.choice(_ACTIONS)(f"k{dice.randrange(4)}", dice))

    await asyncio.gather(*(write(seed) for seed in range(8)))
    await oracle.check(db, *MODELS)
    await asyncio.sleep(0.03)
    await Product.objects.sweep()


Action = Callable[[str, random.Random], Awaitable[Any]]


async def _tolerant(action: Awaitable[Any]) -> None:
    with contextlib.suppress(AlreadyExistsError, NotFoundError, UniqueError, ConstraintError, BulkError):
        await action


def _some(sku: str, dice: random.Random) -> Product:
    return Product(
        sku=sku,
        category=dice.choice("xyz"),
        tags=set(dice.sample("abcd", dice.randrange(4))),
        stock=dice.randrange(900),
        weight=dice.choice([None, 1.5, 2.5]),
        ean=dice.choice([None, "1", "2"]),
    )


async def _insert(sku: str, dice: random.Random) -> None:
    await _some(sku, dice).insert()


async def _replace(sku: str, dice: random.Random) -> None:
    await _some(sku, dice).save()


async def _replace_for_a_while(sku: str, dice: random.Random) -> None:
    await _some(sku, dice).save(ttl=dice.choice([0.004, 60]))


async def _change(sku: str, dice: random.Random) -> None:
    found = await Product.objects.get(sku)
    other = _some(sku, dice)
    for name in dice.sample(["category", "tags", "stock", "weight", "ean"], 2):
        setattr(found, name, getattr(other, name))
    await found.save()


async def _delete(sku: str, dice: random.Random) -> None:
    await Product.objects.delete(sku)


async def _inc(sku: str, dice: random.Random) -> None:
    await (await Product.objects.get(sku)).inc(stock=1, views=2)


async def _expire(sku: str, dice: random.Random) -> None:
    found = await Product.objects.get(sku)
    call = dice.choice([found.expire, found.extend, found.persist])
    await (call() if call == found.persist else call(dice.choice([0.003, 60])))


_ACTIONS: list[Action] = [_insert, _replace, _replace_for_a_while, _change, _delete, _inc, _expire]


@pytest.mark.slow
async def test_five_thousand_schedules_with_expiry_leave_every_index_right(db: Database) -> None:
    dice = random.Random(7)
    for _ in range(5000):
        for _ in range(dice.randrange(3, 9)):
            await _tolerant(dice.choice(_ACTIONS)("a" if dice.random() < 0.7 else "b", dice))
        await oracle.check(db, Product)
        await db.redis.flushall()
