"""Calls that are cancelled at any moment: the others get their own answers, and nothing is left behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from redisom_lite import Database
from redisom_lite.engine.address import parse
from redisom_lite.errors import BackendError, ConflictError, NotFoundError, RedisomError
from redisom_lite.transaction import Transaction
from tests.faults.test_connections import clients, wait_for
from tests.integration.bank import MODELS, Account, Contract, Login, opened

kinds = pytest.mark.parametrize("multiplex", [True, False], ids=["multiplexed", "plain"])

Call = Callable[[str], Awaitable[Any]]


def calls(db: Database) -> list[Call]:
    """Calls about the account of a name; each asserts that what it was told is about that one."""

    async def get(name: str) -> None:
        assert (await Account.objects.get(name)).id == name

    async def get_many(name: str) -> None:
        found = await Account.objects.get_many([name, "none", "0"])
        assert [one and one.id for one in found] == [name, None, "0"]

    async def slide(name: str) -> None:
        assert (await Login.objects.get(name)).user == name

    async def save(name: str) -> None:
        account = await Account.objects.get(name)
        account.note, account.balance = f"{name} {random.random()}", random.randrange(500)
        await account.save()
        assert account.email == f"{name}@x"

    async def inc(name: str) -> None:
        assert (await (await Account.objects.get(name)).inc(balance=1)).keys() == {"balance"}

    async def replace(name: str) -> None:
        account = Account(id=name, owner=name, email=f"{name}@x")
        await account.save(ttl=60)
        await account.persist()

    async def come_and_go(name: str) -> None:
        contract = await Contract.objects.create(text=name, id=f"{name} {random.random()}")
        assert await contract.delete() is True

    async def find(name: str) -> None:
        assert [one.id for one in await Account.objects.find(Account.owner == name)] == [name]

    async def count(name: str) -> None:
        assert await Account.objects.find(Account.email == f"{name}@x").count() == 1

    async def batch(name: str) -> None:
        async with db.batch() as together:
            read, none = together.get(Account, name), together.get_or_none(Contract, name)
        assert (read.result.id, none.result) == (name, None)

    @db.atomic(retries=50)
    async def move(tx: Transaction, name: str) -> None:
        mine, other = await tx.get(Account, name), await tx.get(Account, "0")
        assert (mine.id, other.id) == (name, "0")
        other.balance, mine.balance = mine.balance, other.balance
        tx.save(mine, other)

    async def look(name: str) -> None:
        async with db.transaction() as tx:
            assert [one.id for one in await tx.all(Account.objects.find(Account.owner == name))] == [name]

    return [get, get, get_many, slide, save, inc, replace, come_and_go, find, count, batch, move, look]


@kinds
@pytest.mark.parametrize("total", [600, pytest.param(6000, marks=pytest.mark.slow)])
async def test_random_cancellations_mix_up_nothing_and_leak_nothing(
    real_url: str, multiplex: bool, total: int
) -> None:
    dice, socket, limit = random.Random(3), parse(real_url).path, 20
    before = clients(socket)
    async with opened(f"{real_url}&max_connections={limit}", multiplex=multiplex, timeout=30) as db:
        names = [str(n) for n in range(30)]
        await Account.objects.save_many([Account(id=n, owner=n, email=f"{n}@x") for n in names])
        await Login.objects.save_many([Login(token=n, user=n) for n in names])
        finished = cancelled = 0
        kinds_of_call = calls(db)
        for _ in range(total // 100):
            tasks = [
                asyncio.ensure_future(dice.choice(kinds_of_call)(dice.choice(names))) for _ in range(100)
            ]
            victims = dice.sample(tasks, 60)
            for task in victims:
                if dice.random() < 0.1:
                    await asyncio.sleep(dice.choice([0, 0, 0, 0.0002]))
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if outcome is None:
                    finished += 1
                elif isinstance(outcome, asyncio.CancelledError):
                    cancelled += 1
                elif not isinstance(outcome, ConflictError):
                    raise outcome
        assert min(finished, cancelled) > total / 10
        await every_connection_is_there(db, limit)
        for name in names:
            assert (await Account.objects.get(name)).email == f"{name}@x"
        for model in MODELS:
            assert (await model.objects.check()).ok
    await asyncio.to_thread(wait_for, lambda: clients(socket) <= before)


async def every_connection_is_there(db: Database, limit: int) -> None:
    """Borrow all that may be open at once, and see each answer for itself."""
    async with AsyncExitStack() as stack, asyncio.timeout(20):
        sessions = [await stack.enter_async_context(db.transport.session()) for _ in range(limit)]
        echoes = await asyncio.gather(*(each.send("ECHO", str(n)) for n, each in enumerate(sessions)))
        assert echoes == [str(n).encode() for n in range(limit)]


@kinds
async def test_error_or_cancellation_of_one_call_reaches_no_other_of_its_turn(
    real_url: str, multiplex: bool
) -> None:
    async with opened(real_url, multiplex=multiplex) as db:
        await Account.objects.save_many([Account(id=str(n)) for n in range(100)])
        await db.redis.set("{bank}/account:r:wrong", "no hash")
        wanted: list[tuple[str, asyncio.Task[Any]]] = []
        for n in range(400):
            name = ("wrong", "none", str(n % 100), str(n % 100))[n % 4]
            wanted.append((name, asyncio.create_task(Account.objects.get(name))))
            if n % 4 == 3:
                asyncio.get_running_loop().call_soon(wanted[-1][1].cancel)
        await asyncio.wait([task for _, task in wanted])
        for n, (name, task) in enumerate(wanted):
            if n % 4 == 3:
                assert task.cancelled() or task.result().id == name
            elif name == "wrong":
                assert isinstance(task.exception(), BackendError)
            elif name == "none":
                assert isinstance(task.exception(), NotFoundError)
            else:
                assert task.result().id == name
        await db.redis.delete("{bank}/account:r:wrong")


@kinds
async def test_close_with_work_under_way_lets_it_finish_or_tells(real_url: str, multiplex: bool) -> None:
    socket = parse(real_url).path
    before = clients(socket)
    async with opened(real_url) as direct:
        await Account.objects.save_many([Account(id=str(n), balance=0) for n in range(10)])
        db = Database(real_url, multiplex=multiplex)
        db.bind(*MODELS)

        @db.atomic(retries=100)
        async def add(tx: Transaction, name: str) -> None:
            account = await tx.get(Account, name)
            account.balance += 1
            tx.save(account)

        work = [asyncio.create_task(add(str(n % 10))) for n in range(100)]
        reads = [asyncio.create_task(Account.objects.get(str(n % 10))) for n in range(100)]
        await asyncio.sleep(0.005)
        await db.aclose()
        read = await asyncio.gather(*reads, return_exceptions=True)
        done = await asyncio.gather(*work, return_exceptions=True)
        assert all(isinstance(one, RedisomError | Account) for one in read)
        assert all(one is None or isinstance(one, BackendError) for one in done)
        await db.aclose()
        direct.bind(*MODELS)
        total = sum([account.balance async for account in Account.objects.find()])
        sure = done.count(None)
        unknown = sum(getattr(one, "outcome", "none") == "unknown" for one in done)
        assert sure <= total <= sure + unknown
        await direct.aclose()
        await asyncio.to_thread(wait_for, lambda: clients(socket) <= before)
