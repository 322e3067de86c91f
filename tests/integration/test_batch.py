"""Batches: different reads and writes in one round trip, each with its own result or error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from redisom_lite import Database, Key, Model
from redisom_lite.errors import (
    AlreadyExistsError,
    BackendError,
    ConflictError,
    NotBoundError,
    NotFoundError,
    QueryError,
    UniqueError,
)
from redisom_lite.testing import faults, round_trips
from tests.integration.bank import Account, Contract, Login, balances, opened


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with opened(url) as opened_db:
        yield opened_db


async def test_batch_of_reads_and_writes_is_one_round_trip(db: Database) -> None:
    a = await Account(id="a").insert()
    await Contract(id="c", pages=3).insert()
    with round_trips(db) as trips:
        async with db.batch() as batch:
            a.balance = 7
            saved = batch.save(a)
            inserted = batch.insert(Account(id="b", balance=8))
            contract = batch.get(Contract, "c")
            none = batch.get_or_none(Account, "none")
            there = batch.exists(Account, "a")
            several = batch.get_many(Account, ["b", "none"])
            ended = batch.expire(a, 60)
            deleted = batch.delete(Account(id="nobody"))
    assert trips.count == 1, trips.names
    assert saved.result is a
    assert inserted.result.balance == 8
    assert contract.result.pages == 3
    assert none.result is None
    assert there.result is True
    assert [handle.result and handle.result.id for handle in several] == ["b", None]
    assert ended.result is None
    assert deleted.result is False
    assert timedelta() < (await a.ttl() or timedelta()) <= timedelta(seconds=60)
    assert await balances() == {"a": 7, "b": 8}


async def test_batch_is_its_calls_in_their_order_even_on_a_server_that_knows_nothing(db: Database) -> None:
    for _ in range(2):
        async with db.batch() as batch:
            before = batch.get_or_none(Account, "a")
            first = batch.insert(Account(id="a", balance=1, email="x"))
            between = batch.get(Account, "a")
            contract = batch.insert(Contract(id="c"))
            gone = batch.delete(Account(id="a"))
            after = batch.get_or_none(Account, "a")
            again = batch.insert(Account(id="a", balance=2, email="x"))
            last = batch.get(Account, "a")
        assert before.result is None
        assert (first.result.balance, between.result.balance, last.result.balance) == (1, 1, 2)
        assert (contract.result.id, gone.result, after.result, again.result.balance) == ("c", True, None, 2)
        await db.redis.flushall()
        await db.redis.script_flush()


async def test_batch_gives_each_call_its_own_error_and_does_the_others(db: Database) -> None:
    await Account(id="a", email="a@x").insert()
    gone = await Account(id="gone").insert()
    await Account.objects.delete("gone")
    contract, other = await Contract(id="c").insert(), await Contract.objects.get("c")
    await other.update(pages=5)
    contract.pages, gone.note = 6, "changed"
    async with db.batch() as batch:
        handles = [
            batch.insert(Account(id="a")),
            batch.insert(Account(id="b", email="a@x")),
            batch.save(gone),
            batch.get(Account, "gone"),
            batch.save(contract),
            batch.expire(gone, 5),
        ]
        good = batch.insert(Account(id="c", balance=3))
    kinds = [AlreadyExistsError, UniqueError, NotFoundError, NotFoundError, ConflictError, NotFoundError]
    for handle, kind in zip(handles, kinds, strict=True):
        assert type(handle.error) is kind
        with pytest.raises(kind):
            handle.result
    assert good.error is None
    assert await balances() == {"a": 100, "c": 3}


async def test_batch_frees_a_unique_value_whose_owner_other_programs_deleted(db: Database) -> None:
    await Account(id="a", email="x").insert()
    await db.redis.delete("{bank}/account:r:a")
    async with db.batch() as batch:
        inserted = batch.insert(Account(id="b", email="x"))
        read = batch.get(Account, "b")
    assert (inserted.result.id, read.result.id) == ("b", "b")


async def test_batch_writes_once_what_precedes_a_refusal(db: Database) -> None:
    await Account(id="owner", email="taken").insert()
    async with db.batch() as batch:
        batch.save(Login(token="the first of a model that the server does not know"))
        inserted = [batch.insert(Account(id=f"new{n}")) for n in range(40)]
        refused = batch.insert(Account(id="late", email="taken"))
        deleted = batch.delete(Account(id="new0"))
    assert [handle.error for handle in inserted] == [None] * 40
    assert type(refused.error) is UniqueError
    assert deleted.result is True
    assert await Account.objects.find().count() == 40


async def test_batch_saves_of_one_object_build_on_each_other(db: Database) -> None:
    account = await Account(id="a", note="first").insert()
    contract = await Contract(id="c", text="first").insert()
    async with db.batch() as batch:
        account.note = contract.text = "second"
        batch.save(account), batch.save(contract)
        account.note = contract.text = "first"
        one, two = batch.save(account), batch.save(contract)
    assert (one.result, two.result) == (account, contract)
    assert (await Account.objects.get("a")).note == "first"
    assert (await Contract.objects.get("c")).text == "first"
    contract.pages = 2
    await contract.save()


async def test_batch_reads_renew_sliding_lifetimes(db: Database) -> None:
    login = await Login(token="t").save(ttl=60)
    async with db.batch() as batch:
        read, none = batch.get(Login, "t"), batch.get_or_none(Login, "none")
    assert (read.result, none.result) == (login, None)
    assert (await login.ttl() or timedelta()) > timedelta(minutes=29)


async def test_batch_results_before_its_end_are_refused(db: Database) -> None:
    async with db.batch() as batch:
        handle = batch.get_or_none(Account, "a")
        with pytest.raises(QueryError, match="ended"):
            handle.result
    assert handle.result is None
    with pytest.raises(QueryError, match="ended"):
        batch.get(Account, "a")


async def test_batch_whose_block_raises_sends_nothing(db: Database) -> None:
    with pytest.raises(LookupError), round_trips(db) as trips:
        async with db.batch() as batch:
            batch.insert(Account(id="a"))
            raise LookupError
    assert trips.count == 0


async def test_batch_without_calls_sends_nothing(db: Database) -> None:
    with round_trips(db) as trips:
        async with db.batch():
            pass
    assert trips.count == 0


async def test_batch_of_models_of_no_and_of_another_database_is_refused(db: Database) -> None:
    class Nowhere(Model):
        id: Key[str]

    class Elsewhere(Model):
        id: Key[str]

    Database("memory://elsewhere").bind(Elsewhere)
    async with db.batch() as batch:
        with pytest.raises(NotBoundError):
            batch.get(Nowhere, "a")
        with pytest.raises(QueryError, match="another database"):
            batch.insert(Elsewhere(id="a"))


async def test_batch_over_a_lost_connection_raises_and_so_do_its_results(db: Database) -> None:
    await Account(id="a").insert()
    with pytest.raises(BackendError), faults(db, times=100):
        async with db.batch() as batch:
            handle = batch.get(Account, "a")
    with pytest.raises(BackendError):
        handle.result


async def test_batch_entered_again_is_refused(db: Database) -> None:
    batch = db.batch()
    async with batch:
        batch.insert(Account(id="a"))
    with pytest.raises(QueryError, match="another"):
        async with batch:
            pass


async def test_batch_of_what_is_no_model_or_object_is_refused(db: Database) -> None:
    uses: list[Callable[[Any], Any]] = [
        lambda batch: batch.get(int, "a"),
        lambda batch: batch.get_many(Account, "abc"),
        lambda batch: batch.exists("Account", "a"),
        lambda batch: batch.save("a"),
        lambda batch: batch.insert([Account(id="a")]),
        lambda batch: batch.delete(Account),
    ]
    async with db.batch() as batch:
        for use in uses:
            with pytest.raises(QueryError):
                use(batch)
