"""Transactions and batches on a cluster of three: one slot each for the former, any for the latter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator

import pytest

from redisom_lite import Database, Field, Key, Meta, Model, Range, Unique
from redisom_lite.engine.cluster import slot_of
from redisom_lite.errors import ConflictError, CrossSlotError, NotFoundError, UniqueError
from redisom_lite.testing import round_trips
from redisom_lite.transaction import Transaction
from tests import processes
from tests.integration.bank import Account, Transfer


class Apart(Model):
    id: Key[str]
    balance: Range[int] = Field(default=0)


class Spread(Model):
    meta = Meta(partitions=16)

    id: Key[str]
    balance: Range[int] = Field(default=0)


class Named(Model):
    meta = Meta(group="names")

    id: Key[str]
    name: Unique[str | None] = Field(default=None)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Cluster]:
    with processes.cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
async def db(cluster: processes.Cluster) -> AsyncIterator[Database]:
    for node in cluster.nodes:
        node.command("FLUSHALL")
        node.command("SCRIPT", "FLUSH")
    models = (Account, Transfer, Apart, Spread, Named)
    async with Database(cluster.url, timeout=60) as opened:
        opened.bind(*models)
        yield opened
        for model in models:
            assert (await model.objects.check()).ok


def stored(cluster: processes.Cluster) -> int:
    return sum(int(node.command("DBSIZE")) for node in cluster.nodes)


async def test_transaction_over_models_of_one_group_holds_or_conflicts(db: Database) -> None:
    for name in "ab":
        await Account(id=name).insert()
    async with db.transaction() as tx:
        a, b = await tx.get(Account, "a"), await tx.get(Account, "b")
        a.balance, b.balance = 0, 200
        tx.save(a, b)
        tx.insert(Transfer(id="t", source="a", target="b", amount=100))
    assert (await Account.objects.get("b")).balance == 200
    with pytest.raises(ConflictError):
        async with db.transaction() as tx:
            await tx.all(Account.objects.find(Account.balance > 100))
            await Account(id="c", balance=500).insert()
            tx.delete(b)
    with pytest.raises(UniqueError):
        async with db.transaction() as tx:
            tx.insert(Named(id="1", name="x"), Named(id="2", name="x"))
    assert not await Named.objects.exists("1")


async def test_transaction_across_slots_is_refused_before_anything_is_sent(
    db: Database, cluster: processes.Cluster
) -> None:
    one, other = Account(id="a"), Apart(id="a")
    with pytest.raises(CrossSlotError):
        async with db.transaction() as tx:
            tx.insert(one, other)
    with pytest.raises(CrossSlotError):
        async with db.transaction() as tx:
            tx.insert(*(Spread(id=str(n)) for n in range(16)))
    with pytest.raises(CrossSlotError):
        async with db.transaction() as tx:
            await tx.get_many(Spread, [str(n) for n in range(16)])
    with pytest.raises(CrossSlotError):
        async with db.transaction() as tx:
            await tx.all(Spread.objects.find(Spread.balance > 0))
    assert stored(cluster) == 0
    async with db.transaction() as tx:
        assert await tx.get_or_none(Account, "a") is None
        with pytest.raises(CrossSlotError):
            await tx.get(Apart, "a")
        tx.insert(one)
    assert await Account.objects.exists("a")


async def test_transfers_while_their_slot_moves_are_whole(db: Database, cluster: processes.Cluster) -> None:
    for name in "abcde":
        await Account(id=name, balance=100).insert()
    done = 0

    @db.atomic(retries=100)
    async def transfer(tx: Transaction, number: int, source: str, target: str) -> None:
        a, b = await tx.get(Account, source), await tx.get(Account, target)
        a.balance -= 1
        b.balance += 1
        tx.save(a, b)
        tx.insert(Transfer(id=str(number), source=source, target=target, amount=1))

    async def work(first: int) -> None:
        nonlocal done
        for number in range(first, first + 40):
            source, target = random.sample("abcde", 2)
            await transfer(number, source, target)
            done += 1

    slot = slot_of(b"{bank}")
    source = next(node for node in cluster.nodes if int(node.command("DBSIZE")))
    target = next(node for node in cluster.nodes if node is not source)

    async def move() -> None:
        await asyncio.to_thread(cluster.begin_move, slot, source, target)
        for _ in range(20):
            await asyncio.to_thread(cluster.move_keys, slot, source, target, 2)
        await asyncio.to_thread(cluster.move_keys, slot, source, target)
        await asyncio.to_thread(cluster.end_move, slot, target)

    await asyncio.gather(move(), *(work(1000 * n) for n in range(4)))
    assert done == 160 == await Transfer.objects.find().count()
    expected = dict.fromkeys("abcde", 100)
    for entry in await Transfer.objects.find():
        expected[entry.source] -= 1
        expected[entry.target] += 1
    assert {account.id: account.balance for account in await Account.objects.find()} == expected


async def test_batch_reaches_every_slot_in_one_round_trip(db: Database) -> None:
    keys = [str(n) for n in range(60)]
    with round_trips(db) as trips:
        async with db.batch() as batch:
            saved = [batch.save(Spread(id=key, balance=int(key))) for key in keys]
            account = batch.insert(Account(id="a"))
    assert [handle.result.balance for handle in saved] == [int(key) for key in keys]
    assert account.result.id == "a"
    # the models' declarations were news to every server
    assert [name for name in trips.names if name not in ("declare", "INFO")] == ["FCALL", "FCALL"]
    with round_trips(db) as trips:
        async with db.batch() as batch:
            read = [batch.get(Spread, key) for key in keys]
            none = batch.get(Apart, "none")
            deleted = batch.delete(saved[0].result)
    assert [handle.result.balance for handle in read] == [int(key) for key in keys]
    assert isinstance(none.error, NotFoundError)
    assert deleted.result is True
    assert trips.count == 1
