"""Three writers on one record, a server's command at a time, in every order there is."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable

import pytest

from redisom_lite import Database
from redisom_lite.engine import turns
from redisom_lite.errors import AlreadyExistsError, ConflictError, NotFoundError, UniqueError
from redisom_lite.transaction import Transaction
from tests import oracle
from tests.faults.stepping import Stage, Writer, every_schedule
from tests.integration.record_models import Product, opened

REFUSALS = (AlreadyExistsError, ConflictError, NotFoundError, UniqueError)


@pytest.fixture
async def db(real_url: str) -> AsyncIterator[Database]:
    async with opened(real_url) as opened_db:
        yield opened_db


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions do not wait for each other's turn: the schedule says whose it is."""
    monkeypatch.setattr(turns, "PATIENCE", 0)


async def ending(product: Product) -> None:
    """Let the record end, and wait until it has."""
    await product.expire(0.001)
    await asyncio.sleep(0.003)


def records() -> list[Writer]:
    """Each call that is refused leaves the rest to go on."""

    async def inserter() -> None:
        mine = Product(sku="a", category="first", tags={"x", "y"}, weight=1.0, ean="1")
        await attempt(mine.insert())
        mine.category, mine.ean, mine.tags = "second", "2", {"y"}
        await attempt(mine.save())
        await attempt(Product.objects.delete("a"))

    async def holder() -> None:
        found = await Product.objects.get_or_none("a")
        if found is not None:
            found.category, found.weight, found.ean = "changed", None, "2"
            await attempt(found.save())
            await attempt(found.expire(60))
            found.stock, found.ean = 7, None
            await attempt(found.save())

    async def replacer() -> None:
        await attempt(Product(sku="a", category="third", tags={"z"}, stock=5, ean="3").save(ttl=60))
        await attempt(ending(Product(sku="a")))
        await attempt(Product(sku="a", category="fourth", ean="1").insert())
        await attempt(Product.objects.delete("a"))

    return [inserter, holder, replacer]


def transactions(db: Database) -> list[Writer]:
    @db.atomic(retries=5, backoff=0)
    async def change(tx: Transaction) -> None:
        found = await tx.get(Product, "a")
        found.category, found.stock = "two", found.stock + 1
        tx.save(found)

    @db.atomic(retries=5, backoff=0)
    async def copy(tx: Transaction) -> None:
        for found in await tx.all(Product.objects.find(Product.category == "one")):
            tx.insert(Product(sku="copy", category=found.category, stock=found.stock))

    async def changer() -> None:
        await attempt(change())

    async def copier() -> None:
        await attempt(copy())

    async def other() -> None:
        await attempt(Product(sku="a", category="one").insert())
        await attempt(Product.objects.delete("a"))

    return [changer, copier, other]


async def attempt(call: Awaitable[object]) -> None:
    with contextlib.suppress(*REFUSALS):
        await call


async def is_clean(db: Database) -> None:
    report = await Product.objects.check()
    assert report.ok, report
    await oracle.check(db, Product)
    await Product.objects.delete_many(["a", "copy"])


async def play_some(db: Database, writers: list[Writer], count: int) -> None:
    stage, dice = Stage(db), random.Random(5)
    for _ in range(count):
        await stage.play(writers, dice.randrange)
        await is_clean(db)


async def play_all(db: Database, writers: list[Writer]) -> int:
    stage, count = Stage(db), 0
    async for _ in every_schedule(lambda choose: stage.play(writers, choose)):
        await is_clean(db)
        count += 1
    print(f"{count} schedules, {stage.commands} commands")
    return count


async def test_some_interleavings_of_three_writers_leave_every_index_right(db: Database) -> None:
    await play_some(db, records(), 100)


async def test_some_interleavings_of_transactions_leave_every_index_right(db: Database) -> None:
    await play_some(db, transactions(db), 50)


@pytest.mark.slow
async def test_every_interleaving_of_three_writers_leaves_every_index_right(db: Database) -> None:
    assert await play_all(db, records()) >= 5000


@pytest.mark.slow
async def test_every_interleaving_of_transactions_leaves_every_index_right(db: Database) -> None:
    assert await play_all(db, transactions(db)) > 500
