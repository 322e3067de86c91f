"""Transactions under races, cut connections, cancellation and refusals, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from redisom_lite import Database
from redisom_lite.engine import embedded
from redisom_lite.engine.address import parse
from redisom_lite.errors import BackendError, ConflictError, OutOfMemoryError, ReadOnlyError
from redisom_lite.schema.record import state_of
from redisom_lite.transaction import Transaction
from tests import servers
from tests.faults.proxy import Proxy
from tests.integration.bank import Account, Contract, Transfer, balances, opened


@pytest.fixture
async def db(real_url: str) -> AsyncIterator[Database]:
    async with opened(real_url) as opened_db:
        yield opened_db


@pytest.fixture
def socket(real_url: str) -> str:
    return parse(real_url).path


@contextlib.contextmanager
def configured(socket: str, name: str, value: str) -> Any:
    """A setting of the server, for a while."""
    before = servers.command(socket, f"CONFIG GET {name}")
    old = {"maxmemory": "0", "proto-max-bulk-len": "512mb"}[name]
    assert before
    servers.command(socket, f"CONFIG SET {name} {value}")
    try:
        yield
    finally:
        servers.command(socket, f"CONFIG SET {name} {old}")


def watching(socket: str) -> int:
    """How many connections of the server watch or queue: flags `x`, or `watch` above 0."""
    listed = servers.command(socket, "CLIENT LIST").splitlines()
    fields = [dict(word.partition("=")[::2] for word in line.split()) for line in listed]
    return sum(client.get("watch", "0") != "0" or client["multi"] != "-1" for client in fields)


# Refusals.


async def test_transaction_with_a_value_the_server_refuses_changes_nothing(db: Database, socket: str) -> None:
    await Account(id="a").insert()
    with configured(socket, "proto-max-bulk-len", "1mb"), pytest.raises(BackendError) as caught:
        async with db.transaction() as tx:
            account = await tx.get(Account, "a")
            account.balance = 7
            tx.save(account)
            tx.insert(Account(id="b", note="x" * 2_000_000))
    assert caught.value.outcome == "none"
    assert await balances() == {"a": 100}


async def test_transaction_on_a_full_server_changes_nothing_and_says_so(db: Database, socket: str) -> None:
    await Account(id="a").insert()
    with configured(socket, "maxmemory", "1mb"), pytest.raises(OutOfMemoryError) as caught:
        async with db.transaction() as tx:
            account = await tx.get(Account, "a")
            account.note = "x" * 1000
            tx.save(account)
    assert caught.value.outcome == "none"
    assert (await Account.objects.get("a")).note == ""


# No watch is left behind.


async def test_body_that_raises_leaves_no_watch_behind(db: Database, socket: str) -> None:
    await Account(id="a").insert()
    for _ in range(20):
        with pytest.raises(LookupError):
            async with db.transaction() as tx:
                await tx.get(Account, "a")
                raise LookupError
    assert watching(socket) == 0
    async with db.transaction() as tx:
        await tx.get_or_none(Account, "b")
        await (await Account.objects.get("a")).update(note="no longer anyone's concern")
        tx.insert(Account(id="c"))


async def test_body_that_is_cancelled_writes_nothing_and_leaves_no_watch_behind(
    db: Database, socket: str
) -> None:
    await Account(id="a").insert()

    async def body(pause: float) -> None:
        async with db.transaction() as tx:
            account = await tx.get(Account, "a")
            account.balance = 0
            tx.save(account)
            await asyncio.sleep(pause)
            raise AssertionError("cancelled by now")

    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(body(1), random.uniform(0.0, 0.01))
    assert watching(socket) == 0
    assert await balances() == {"a": 100}


async def test_commit_that_is_cancelled_lands_whole_or_not_at_all(db: Database, socket: str) -> None:
    await Account(id="a").insert()
    await Account(id="b").insert()

    async def body() -> None:
        async with db.transaction() as tx:
            first, second = await tx.get(Account, "a"), await tx.get(Account, "b")
            first.balance -= 1
            second.balance += 1
            tx.save(first, second)

    for _ in range(100):
        with contextlib.suppress(TimeoutError, ConflictError):
            await asyncio.wait_for(body(), random.uniform(0.0, 0.003))
    assert sum((await balances()).values()) == 200
    assert watching(socket) == 0


# Lost connections.


def _version(record: Any) -> int | None:
    state = state_of(record)
    assert state is not None
    return state.version


@pytest.mark.parametrize(("model", "field"), [(Account, "balance"), (Contract, "pages")])
@pytest.mark.parametrize("moment", ["requests", "replies"])
async def test_connection_lost_around_the_commit_is_resolved(
    db: Database, socket: str, moment: str, model: Any, field: str
) -> None:
    seen: Counter[str] = Counter()
    async with Proxy(socket) as proxy, Database(proxy.url) as far:
        before: Any = await model(id="a", **{field: 0}).insert()
        site = model.objects.site()
        for cut in range(0, 1600 if moment == "requests" else 60, 40 if moment == "requests" else 2):
            try:
                async with Transaction_on(far, site) as tx:
                    record = await tx.get(model, "a")
                    setattr(record, field, getattr(record, field) + 1)
                    tx.save(record)
                    if moment == "requests":
                        proxy.cut_after_requests = cut
                    else:
                        proxy.cut_after_replies = cut
                outcome = "success"
            except BackendError as error:
                outcome = error.outcome
            proxy.cut_after_requests = proxy.cut_after_replies = None
            after = await model.objects.get("a")
            seen[outcome] += 1
            assert getattr(after, field) - getattr(before, field) == {"success": 1, "none": 0}[outcome]
            if outcome == "success":
                assert _version(record) == _version(after)
            before = after
    assert seen["success"]
    assert seen["none"] or moment == "replies"


@contextlib.asynccontextmanager
async def Transaction_on(far: Database, site: Any) -> Any:
    """A transaction of the bound models over another way to the same server."""
    far.bind(Account, Transfer, Contract)
    try:
        async with far.transaction() as tx:
            yield tx
    finally:
        site.store.bind(Account, Transfer, Contract)


async def test_connection_lost_while_reading_had_no_effect(db: Database, socket: str) -> None:
    async with Proxy(socket) as proxy, Database(proxy.url) as far:
        await Account(id="a").insert()
        with pytest.raises(BackendError) as caught:
            async with Transaction_on(far, Account.objects.site()) as tx:
                await tx.get(Account, "a")
                await proxy.sever()
                await asyncio.sleep(0.01)
                tx.insert(Account(id="b"))
                await tx.get(Account, "c")
        assert caught.value.outcome == "none"


async def transfers(db: Database, socket: str, count: int, tasks: int = 32) -> Counter[str]:
    """Move money between five accounts while connections are killed; how often each outcome was reported."""
    for name in "abcde":
        await Account(id=name, balance=1000).insert()
    outcomes: Counter[str] = Counter()
    done: set[str] = set()
    unknown: set[str] = set()
    numbers = iter(range(count))

    @db.atomic(retries=200)
    async def transfer(tx: Transaction, number: str, source: str, target: str) -> None:
        first, second = await tx.get(Account, source), await tx.get(Account, target)
        first.balance -= 1
        second.balance += 1
        tx.save(first, second)
        tx.insert(Transfer(id=number, source=source, target=target, amount=1))

    async def work() -> None:
        for number in numbers:
            source, target = random.sample("abcde", 2)
            try:
                await transfer(str(number), source, target)
                outcomes["done"] += 1
                done.add(str(number))
            except BackendError as error:
                outcomes[error.outcome] += 1
                if error.outcome == "unknown":
                    unknown.add(str(number))

    async def kill() -> None:
        while True:
            await asyncio.sleep(0.05)
            servers.command(socket, "CLIENT KILL TYPE normal")

    killer = asyncio.create_task(kill())
    await asyncio.gather(*(work() for _ in range(tasks)))
    killer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await killer
    ledger = {transfer.id: transfer for transfer in await Transfer.objects.find()}
    assert done <= ledger.keys() <= done | unknown
    expected = dict.fromkeys("abcde", 1000)
    for entry in ledger.values():
        expected[entry.source] -= 1
        expected[entry.target] += 1
    assert await balances() == expected
    return outcomes


async def test_transfers_under_kills_happen_exactly_once(db: Database, socket: str) -> None:
    outcomes = await transfers(db, socket, 600)
    assert outcomes["done"] > 540


@pytest.mark.slow
async def test_5000_transfers_under_kills_happen_exactly_once(db: Database, socket: str) -> None:
    outcomes = await transfers(db, socket, 5000)
    print(outcomes)
    assert outcomes["done"] > 4500


async def test_function_that_lost_its_connection_without_effect_runs_again(db: Database, socket: str) -> None:
    await Account(id="a", balance=0).insert()
    async with Proxy(socket) as proxy, Database(proxy.url) as far:
        runs = 0

        @far.atomic(retries=3)
        async def add(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            account = await tx.get(Account, "a")
            if runs < 3:
                await proxy.sever()
                await asyncio.sleep(0.01)
            account.balance += 1
            tx.save(account)

        far.bind(Account)
        try:
            await add()
        finally:
            db.bind(Account)
    assert runs == 3
    assert (await Account.objects.get("a")).balance == 1


@pytest.mark.parametrize("deposed", [1, 100])
async def test_function_refused_by_a_replica_runs_again_a_few_times(deposed: int) -> None:
    with embedded.start() as server:
        async with opened(server.url) as db:
            await Account(id="a", balance=0).insert()
            runs = 0

            @db.atomic(backoff=0.001)
            async def add(tx: Transaction) -> None:
                nonlocal runs
                runs += 1
                servers.command(
                    server.socket, "REPLICAOF " + ("127.0.0.1 1" if runs <= deposed else "NO ONE")
                )
                account = await tx.get(Account, "a")
                account.balance += 1
                tx.save(account)

            try:
                if deposed == 1:
                    await add()
                else:
                    with pytest.raises(ReadOnlyError):
                        await add()
            finally:
                servers.command(server.socket, "REPLICAOF NO ONE")
            assert runs == (2 if deposed == 1 else 4)
            assert (await Account.objects.get("a")).balance == (deposed == 1)


async def test_function_without_a_server_fails_for_that_and_is_not_run_in_vain() -> None:
    nowhere = Database("redis://127.0.0.1:1", timeout=0.2)
    Elsewhere = type("Elsewhere", (Account,), {})
    nowhere.bind(Elsewhere)
    runs = 0

    @nowhere.atomic(retries=1000)
    async def read(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await tx.get(Elsewhere, "a")

    with pytest.raises(BackendError) as caught:
        await read()
    assert caught.value.outcome == "none"
    assert runs < 10


# Anomalies.


async def skewed(db: Database, rounds: int) -> int:
    """How often two doctors on call both left, each having seen the other there."""
    skews = 0

    @db.atomic(retries=50)
    async def leave(tx: Transaction, who: str, key: str) -> None:
        on_call = await tx.all(Account.objects.find(Account.owner == key))
        await asyncio.sleep(0)
        if len(on_call) > 1:
            mine = await tx.get(Account, who)
            mine.owner = "off"
            tx.save(mine)

    for number in range(rounds):
        one, other, key = f"1-{number}", f"2-{number}", f"on-{number}"
        await Account.objects.save_many([Account(id=one, owner=key), Account(id=other, owner=key)])
        await asyncio.gather(leave(one, key), leave(other, key))
        skews += await Account.objects.find(Account.owner == key).count() == 0
    return skews


async def phantoms(db: Database, rounds: int) -> int:
    """How often two bookings of one room came about, each of which had seen none."""
    doubles = 0

    @db.atomic(retries=50)
    async def book(tx: Transaction, who: str, room: str) -> None:
        taken = await tx.all(Account.objects.find(Account.owner == room, Account.balance.between(100, 200)))
        await asyncio.sleep(0)
        if not taken:
            tx.insert(Account(id=who, owner=room, balance=150))

    for number in range(rounds):
        room = f"room-{number}"
        await asyncio.gather(*(book(f"guest-{number}-{who}", room) for who in range(3)))
        doubles += await Account.objects.find(Account.owner == room).count() != 1
    return doubles


async def test_write_skew_and_phantoms_do_not_happen(db: Database) -> None:
    assert await skewed(db, 60) == 0
    assert await phantoms(db, 60) == 0


@pytest.mark.slow
async def test_write_skew_and_phantoms_do_not_happen_in_500_rounds_each(db: Database) -> None:
    assert await skewed(db, 500) == 0
    assert await phantoms(db, 500) == 0


@pytest.mark.parametrize("rounds", [5, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", ["hot", "own"])
async def test_hot_key_of_64_tasks_starves_none_of_them(db: Database, first: str, rounds: int) -> None:
    await Account(id="hot", balance=0).insert()
    await Account.objects.save_many([Account(id=f"own-{n}") for n in range(64)])
    runs = finished = 0
    overtaken: list[int] = []

    @db.atomic(retries=500)
    async def add(tx: Transaction, who: int) -> None:
        nonlocal runs
        runs += 1
        if first == "own":
            mine = await tx.get(Account, f"own-{who}")
            mine.balance -= 1
            tx.save(mine)
        account = await tx.get(Account, "hot")
        account.balance += 1
        tx.save(account)

    async def work(who: int) -> None:
        nonlocal finished
        for _ in range(rounds):
            before = finished
            await add(who)
            overtaken.append(finished - before)
            finished += 1

    await asyncio.gather(*(work(who) for who in range(64)))
    assert (await Account.objects.get("hot")).balance == 64 * rounds
    assert runs < 64 * rounds * 1.5 + 64
    assert max(overtaken) < 3 * 64
