"""Transactions: what they read holds until they commit, and what they write lands whole or not at all."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from redisom_lite import Database, Field, Key, Model, Tag
from redisom_lite.errors import (
    AlreadyExistsError,
    BackendError,
    ConflictError,
    NotFoundError,
    QueryError,
    UniqueError,
)
from redisom_lite.testing import round_trips
from redisom_lite.transaction import Transaction
from tests.integration.bank import Account, Contract, Login, Transfer, balances, opened


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with opened(url) as opened_db:
        yield opened_db


async def save_behind(db: Database, account: str, **changes: Any) -> None:
    """Change a record as another process would."""
    await (await Account.objects.get(account)).update(**changes)


async def test_transaction_writes_everything_at_its_end(db: Database) -> None:
    await Account(id="a", email="a@x").insert()
    await Account(id="old").insert()
    async with db.transaction() as tx:
        mine = await tx.get(Account, "a")
        mine.balance -= 10
        tx.save(mine)
        tx.insert(Account(id="b", balance=10), Transfer(id="t", source="a", target="b", amount=10))
        tx.delete(await tx.get(Account, "old"))
        assert await balances() == {"a": 100, "old": 100}
    assert await balances() == {"a": 90, "b": 10}
    assert await Transfer.objects.find(Transfer.source == "a").count() == 1


async def test_transaction_with_reads_sends_everything_on_its_own_connection(db: Database) -> None:
    await Account(id="a").insert()
    await Account(id="b").insert()
    with round_trips(db) as others:
        async with db.transaction() as tx:
            first, second = await tx.get_many(Account, ["a", "b"])
            assert first is not None
            assert second is not None
            first.balance, second.balance = 0, 200
            tx.save(first, second)
    assert others.count == 0, others.names


async def test_transaction_whose_body_raises_writes_nothing(db: Database) -> None:
    await Account(id="a").insert()
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            account = await tx.get(Account, "a")
            account.balance = 0
            tx.save(account)
            raise ZeroDivisionError
    assert await balances() == {"a": 100}


async def test_transaction_without_writes_and_reads_does_nothing(db: Database) -> None:
    async with db.transaction():
        pass


async def failing_insert(tx: Transaction) -> None:
    tx.insert(Account(id="taken"))


async def failing_unique(tx: Transaction) -> None:
    tx.insert(Account(id="new", email="taken@x"))


async def failing_missing(tx: Transaction) -> None:
    gone = await Account(id="gone").insert()
    await Account.objects.delete("gone")
    gone.note = "changed"
    tx.save(gone)


async def failing_expire(tx: Transaction) -> None:
    gone = await Account(id="gone").insert()
    await Account.objects.delete("gone")
    tx.expire(gone, 10)


async def failing_expired(tx: Transaction) -> None:
    short = await Account(id="short").insert(ttl=0.02)
    await asyncio.sleep(0.05)
    short.note = "changed"
    tx.save(short)


async def failing_version(tx: Transaction) -> None:
    mine, theirs = await Contract.objects.get("c"), await Contract.objects.get("c")
    await theirs.update(pages=8)
    mine.pages = 9
    tx.save(mine)


FAILING: list[tuple[Any, type[Exception]]] = [
    (failing_insert, AlreadyExistsError),
    (failing_unique, UniqueError),
    (failing_missing, NotFoundError),
    (failing_expire, NotFoundError),
    (failing_expired, NotFoundError),
    (failing_version, ConflictError),
]


@pytest.mark.parametrize("reading", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize(("fail", "error"), FAILING, ids=[fail.__name__[8:] for fail, _ in FAILING])
async def test_transaction_with_one_failing_write_changes_nothing(
    db: Database, fail: Any, error: type[Exception], reading: bool
) -> None:
    await Account(id="a", email="a@x").insert()
    await Account(id="taken", email="taken@x").insert()
    third = await Account(id="third").insert()
    await Contract(id="c").insert()
    a = await Account.objects.get("a")
    with pytest.raises(error) as caught:
        async with db.transaction() as tx:
            if reading:
                a = await tx.get(Account, "a")
            a.balance, a.email = 7, "other@x"
            tx.save(a)
            tx.insert(Account(id="b", email="b@x"))
            await fail(tx)
            tx.delete(third)
    if isinstance(caught.value, UniqueError):
        assert (caught.value.field, caught.value.value_owner_pk) == ("email", "taken")
    assert await balances() == {"a": 100, "taken": 100, "third": 100}
    found = await Account.objects.get("a")
    assert (found.balance, found.email) == (100, "a@x")
    a.note = "still saved whole"
    await a.save()
    assert (await Account.objects.get("a")).balance == 7


async def test_transaction_over_a_key_of_another_type_changes_nothing(db: Database) -> None:
    await Account(id="a").insert()
    await db.redis.set("{bank}/account:r:b", "in the way")
    with pytest.raises(BackendError) as caught:
        async with db.transaction() as tx:
            a = await tx.get(Account, "a")
            a.balance = 7
            tx.save(a)
            tx.insert(Account(id="b"))
    assert caught.value.outcome == "none"
    assert (await Account.objects.get("a")).balance == 100
    await db.redis.delete("{bank}/account:r:b")


async def test_unique_error_names_the_model_that_claims_among_records_of_one_key(db: Database) -> None:
    await Account(id="a", email="a@x").insert()
    with pytest.raises(UniqueError, match=r"^Account\.email"):
        async with db.transaction() as tx:
            tx.insert(Contract(id="same"), Account(id="same", email="a@x"))


async def test_unique_values_swap_in_one_transaction(db: Database) -> None:
    await Account(id="a", email="a@x").insert()
    await Account(id="b", email="b@x").insert()
    async with db.transaction() as tx:
        a, b = await tx.get(Account, "a"), await tx.get(Account, "b")
        a.email, b.email = b.email, a.email
        tx.save(a, b)
    assert (await Account.objects.find(Account.email == "a@x").one()).id == "b"
    assert (await Account.objects.find(Account.email == "b@x").one()).id == "a"


async def test_unique_value_freed_in_a_transaction_is_free_for_a_record_of_it(db: Database) -> None:
    a = await Account(id="a", email="a@x").insert()
    async with db.transaction() as tx:
        tx.insert(Account(id="b", email="a@x"))
        tx.delete(a)
    assert (await Account.objects.find(Account.email == "a@x").one()).id == "b"


async def test_unique_value_claimed_and_given_up_in_a_transaction_stays_its_owners(db: Database) -> None:
    await Account(id="owner", email="e").insert()
    async with db.transaction() as tx:
        tx.save(Account(id="b", email="e"))
        tx.save(Account(id="b", email=None))
    with pytest.raises(UniqueError):
        await Account(id="c", email="e").insert()
    async with db.transaction() as tx:  # the owner gives it up as well
        tx.save(Account(id="owner", email=None))
        tx.save(Account(id="b", email="e"))
        tx.save(Account(id="b", email=None))
    await Account(id="c", email="e").insert()


async def test_unique_value_claimed_twice_in_a_transaction_is_refused(db: Database) -> None:
    with pytest.raises(UniqueError):
        async with db.transaction() as tx:
            tx.insert(Account(id="a", email="x"), Account(id="b", email="x"))
    assert await balances() == {}


# Reads that do not hold.


async def test_commit_after_a_read_record_changed_is_a_conflict(db: Database) -> None:
    await Account(id="a").insert()
    with pytest.raises(ConflictError) as caught:
        async with db.transaction() as tx:
            await tx.get(Account, "a")
            await save_behind(db, "a", note="changed")
            tx.insert(Account(id="b"))
    assert caught.value.attempts == 1
    assert caught.value.keys == ("{bank}/account:r:a",)
    assert await balances() == {"a": 100}


async def test_commit_after_a_missing_record_appeared_is_a_conflict(db: Database) -> None:
    with pytest.raises(ConflictError):
        async with db.transaction() as tx:
            assert await tx.get_or_none(Account, "a") is None
            await Account(id="a").insert()
            tx.insert(Account(id="b"))
    assert await balances() == {"a": 100}


async def test_read_only_transaction_is_validated_at_exit(db: Database) -> None:
    await Account(id="a").insert()
    async with db.transaction() as tx:
        await tx.get(Account, "a")
    with pytest.raises(ConflictError):
        async with db.transaction() as tx:
            await tx.get(Account, "a")
            await save_behind(db, "a", note="changed")


QUERIES: list[Any] = [
    lambda: Account.objects.find(),
    lambda: Account.objects.find(Account.balance > 100),
    lambda: Account.objects.find(Account.owner == "bob"),
    lambda: Account.objects.find(Account.owner != "ann"),
    lambda: Account.objects.find(~(Account.owner == "ann") & (Account.balance != 100)),
    lambda: Account.objects.find(Account.id.in_(["new", "a"]), Account.balance == 500),
    lambda: Account.objects.find(Account.email == "new@x"),
    lambda: Account.objects.find((Account.email == "new@x") | (Account.owner == "bob")),
    lambda: Account.objects.find().order_by(Account.balance.desc()).limit(1),
    lambda: Account.objects.find().order_by(Account.id.desc()).limit(1),
]


@pytest.mark.parametrize("number", range(len(QUERIES)))
async def test_commit_after_a_newcomer_to_a_query_is_a_conflict(db: Database, number: int) -> None:
    await Account(id="a").insert()
    with pytest.raises(ConflictError):
        async with db.transaction() as tx:
            await tx.all(QUERIES[number]())
            await Account(id="new", balance=500, owner="bob", email="new@x").insert()
            tx.insert(Account(id="b"))
    assert await balances() == {"a": 100, "new": 500}


@pytest.mark.parametrize("number", range(1, len(QUERIES) - 1))
async def test_commit_after_a_record_comes_to_satisfy_a_query_is_a_conflict(
    db: Database, number: int
) -> None:
    await Account(id="a").insert()
    with pytest.raises(ConflictError):
        async with db.transaction() as tx:
            await tx.all(QUERIES[number]())
            await save_behind(db, "a", balance=500, owner="bob", email="new@x")
            tx.insert(Account(id="b"))
    assert await balances() == {"a": 500}


async def test_commit_after_a_found_record_changed_otherwise_is_a_conflict(db: Database) -> None:
    await Account(id="a").insert()
    with pytest.raises(ConflictError):
        async with db.transaction() as tx:
            assert [account.id for account in await tx.all(Account.objects.find(Account.owner == "ann"))] == [
                "a"
            ]
            await save_behind(db, "a", note="changed")
            tx.insert(Account(id="b"))


async def test_commit_after_an_overdue_record_came_back_as_it_was_is_a_conflict(db: Database) -> None:
    for again in (Account(id="a"), Account(id="a")):
        await Account(id="a").save(ttl=0.02)
        await asyncio.sleep(0.05)
        with pytest.raises(ConflictError):
            async with db.transaction() as tx:
                assert (
                    await tx.all(Account.objects.find(Account.owner == "ann", Account.balance == 100)) == []
                )
                await again.save(ttl=60)
                tx.insert(Account(id="b"))
        await Account.objects.delete("a")


async def test_commit_after_an_unrelated_change_holds(db: Database) -> None:
    await Account(id="a").insert()
    await Account(id="other", owner="cid").insert()
    async with db.transaction() as tx:
        await tx.all(Account.objects.find(Account.owner == "ann"))
        await save_behind(db, "other", note="changed")
        tx.insert(Account(id="b"))
    assert await Account.objects.exists("b")


async def test_conflict_over_an_index_names_record_keys_alone(db: Database) -> None:
    class Rated(Model):
        id: Key[str]
        r: Tag[str] = Field(default="x")

    db.bind(Rated)
    await Rated(id="a").save()
    with pytest.raises(ConflictError) as caught:
        async with db.transaction() as tx:
            await tx.all(Rated.objects.find(Rated.r == "x"))
            await Rated(id="b").save()
    assert caught.value.keys == ("{rated}:r:a",)
    await db.redis.flushall()


async def test_query_that_nothing_can_satisfy_is_no_obstacle(db: Database) -> None:
    async with db.transaction() as tx:
        assert await tx.all(Account.objects.find(Account.owner.in_([]))) == []
        tx.insert(Account(id="a"))
    assert await Account.objects.exists("a")


async def test_same_key_gives_the_same_object(db: Database) -> None:
    await Account(id="a").insert()
    async with db.transaction() as tx:
        first = await tx.get(Account, "a")
        assert await tx.get(Account, "a") is first
        assert (await tx.get_many(Account, ["a", "none", "a"])) == [first, None, first]
        assert (await tx.all(Account.objects.find()))[0] is first


async def test_reads_of_a_body_at_once_share_its_connection_and_its_watch(db: Database) -> None:
    for key in "abcdefgh":
        await Account(id=key).insert()
    with pytest.raises(ConflictError):
        async with db.transaction() as tx:
            found = await asyncio.gather(*(tx.get(Account, key) for key in "abcdefghaabb"))
            assert found[0] is found[8] is found[9]
            await save_behind(db, "h", note="changed")
            tx.insert(Account(id="new"))


# The objects.


async def test_objects_saved_in_a_transaction_are_saved_objects(db: Database) -> None:
    new = Account(id="new")
    contract = await Contract(id="c").insert()
    async with db.transaction() as tx:
        tx.insert(new)
        contract.pages = 3
        tx.save(contract)
    new.note = "a"
    await new.save()
    contract.pages = 4
    await contract.save()
    await db.redis.hset("{bank}/account:r:new", "note", "b")
    new.balance = 1
    await new.save()
    assert (await Account.objects.get("new")).note == "b"


async def test_object_deleted_in_a_transaction_is_new_again(db: Database) -> None:
    account = await Account(id="a").insert()
    async with db.transaction() as tx:
        tx.delete(account)
    await account.insert()


async def test_saves_of_one_object_build_on_each_other(db: Database) -> None:
    account = await Account(id="a", note="first").insert()
    contract = await Contract(id="c", text="first").insert()
    async with db.transaction() as tx:
        account.note = contract.text = "second"
        tx.save(account, contract)
        account.note = contract.text = "first"
        contract.pages = 2
        tx.save(account, contract)
    assert (await Account.objects.get("a")).note == "first"
    stored = await Contract.objects.get("c")
    assert (stored.text, stored.pages) == ("first", 2)
    contract.pages = 3
    await contract.save()


async def test_object_inserted_changed_and_deleted_in_one_transaction_leaves_nothing(db: Database) -> None:
    async with db.transaction() as tx:
        account = Account(id="a", email="a@x")
        tx.insert(account)
        account.balance = 5
        tx.save(account)
        tx.expire(account, 60)
        tx.delete(account)
    assert await balances() == {}


async def test_save_with_a_lifetime_and_expire_set_it_at_the_commit(db: Database) -> None:
    account = await Account(id="a").insert()
    async with db.transaction() as tx:
        tx.insert(Account(id="b"), ttl="1h")
        tx.expire(account, 60)
        assert await account.ttl() is None
    assert timedelta(seconds=58) < (await account.ttl() or timedelta()) <= timedelta(seconds=60)
    assert timedelta(minutes=59) < (await (await Account.objects.get("b")).ttl() or timedelta())


async def test_sliding_lifetimes_of_records_read_by_key_are_renewed_at_the_commit(db: Database) -> None:
    login = await Login(token="t").save(ttl=60)
    other = await Login(token="u").save(ttl=60)
    async with db.transaction() as tx:
        await tx.get(Login, "t")
        await tx.all(Login.objects.find(Login.token == "u"))
        assert (await login.ttl() or timedelta()) <= timedelta(seconds=60)
    assert (await login.ttl() or timedelta()) > timedelta(minutes=29)
    assert (await other.ttl() or timedelta()) <= timedelta(seconds=60)


async def test_record_deleted_before_it_is_read_is_not_missed_for_its_sliding_lifetime(db: Database) -> None:
    login = await Login(token="t").save(ttl=60)
    async with db.transaction() as tx:
        tx.delete(login)
        assert await tx.get(Login, "t") == login
    assert not await Login.objects.exists("t")


async def test_record_that_ends_between_read_and_commit_is_no_longer_there(real_url: str) -> None:
    async with opened(real_url) as db:
        await Account(id="a").insert(ttl=0.05)
        with pytest.raises((ConflictError, NotFoundError)):
            async with db.transaction() as tx:
                account = await tx.get(Account, "a")
                await asyncio.sleep(0.1)
                account.note = "late"
                tx.save(account)
                tx.insert(Account(id="b"))
        assert await balances() == {}


# Use.


async def test_transaction_used_after_its_end_is_refused(db: Database) -> None:
    account = await Account(id="a").insert()
    async with db.transaction() as tx:
        await tx.get(Account, "a")
    for use in (lambda: tx.save(account), lambda: tx.insert(Account(id="b")), lambda: tx.delete(account)):
        with pytest.raises(QueryError, match="has ended"):
            use()
    with pytest.raises(QueryError, match="has ended"):
        await tx.get(Account, "b")


async def test_models_of_another_database_are_refused(db: Database) -> None:
    class Elsewhere(Model):
        id: Key[str]

    Database("memory://elsewhere").bind(Elsewhere)
    async with db.transaction() as tx:
        with pytest.raises(QueryError, match="another database"):
            await tx.get(Elsewhere, "a")
        with pytest.raises(QueryError, match="another database"):
            tx.insert(Elsewhere(id="a"))


async def test_transaction_after_the_data_and_the_scripts_are_gone_holds(db: Database) -> None:
    await Account(id="a").insert()
    await db.redis.flushall()
    await db.redis.script_flush()
    async with db.transaction() as tx:
        assert await tx.get_or_none(Account, "a") is None
        tx.insert(Account(id="a"), Contract(id="c"))
    assert await Account.objects.exists("a")


# Functions that run until they hold.


async def test_atomic_runs_again_until_the_commit_holds(db: Database) -> None:
    await Account(id="a").insert()
    runs = 0

    @db.atomic(retries=3)
    async def add(tx: Transaction, key: str, *, amount: int) -> int:
        nonlocal runs
        runs += 1
        account = await tx.get(Account, key)
        if runs < 4:
            await save_behind(db, key, note=str(runs))
        account.balance += amount
        tx.save(account)
        return account.balance

    assert await add("a", amount=5) == 105
    assert runs == 4
    assert await balances() == {"a": 105}


@pytest.mark.parametrize("retries", [0, 2])
async def test_atomic_that_never_holds_tells_its_runs_and_keys(db: Database, retries: int) -> None:
    await Account(id="a").insert()
    runs = 0

    @db.atomic(retries=retries)
    async def add(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await tx.get(Account, "a")
        await save_behind(db, "a", note=str(runs))
        tx.insert(Account(id="b"))

    with pytest.raises(ConflictError) as caught:
        await add()
    assert runs == retries + 1 == caught.value.attempts
    assert caught.value.keys == ("{bank}/account:r:a",)
    assert await balances() == {"a": 100}


async def test_atomic_raises_what_its_body_raises_at_once(db: Database) -> None:
    runs = 0

    @db.atomic
    async def fail(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        tx.insert(Account(id="a"))
        raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert runs == 1
    assert await balances() == {}


async def test_atomic_decorates_functions_and_methods_with_and_without_parentheses(db: Database) -> None:
    class Teller:
        rate = 2

        @db.atomic
        async def open(self, tx: Transaction, key: str) -> None:
            """Open an account."""
            tx.insert(Account(id=key, balance=self.rate))

        @db.atomic(retries=1)
        async def close(self, tx: Transaction, key: str) -> None:
            tx.delete(await tx.get(Account, key))

    @db.atomic
    async def read(tx: Transaction, key: str) -> Account:
        return await tx.get(Account, key)

    teller = Teller()
    await teller.open("a")
    assert (await read("a")).balance == 2
    await teller.close(key="a")
    assert await balances() == {}
    assert (Teller.open.__name__, Teller.open.__doc__) == ("open", "Open an account.")
    assert list(inspect.signature(read).parameters) == ["key"]
    assert list(inspect.signature(teller.open).parameters) == ["key"]


async def test_atomic_within_another_is_a_transaction_of_its_own(db: Database) -> None:
    await Account(id="a").insert()

    @db.atomic
    async def log(tx: Transaction, what: str) -> None:
        tx.insert(Contract(id=what))

    @db.atomic(retries=0)
    async def fail(tx: Transaction) -> None:
        await tx.get(Account, "a")
        await log("began")
        tx.insert(Account(id="b"))
        raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await Contract.objects.exists("began")
    assert not await Account.objects.exists("b")


@pytest.mark.parametrize(
    ("options", "word"),
    [({"retries": wrong}, "retries") for wrong in (-1, True, 2.5, "3", None)]
    + [({"backoff": wrong}, "backoff") for wrong in (-1, True, float("nan"), float("inf"), "1")],
)
async def test_atomic_with_a_wrong_option_is_refused(db: Database, options: Any, word: str) -> None:
    with pytest.raises(QueryError, match=word):

        @db.atomic(**options)
        async def body(tx: Transaction) -> None: ...


def not_a_coroutine(tx: Transaction) -> None: ...


async def without_a_transaction() -> None: ...


class Strange:
    async def without_a_transaction(self) -> None: ...


@pytest.mark.parametrize(
    "body", [not_a_coroutine, without_a_transaction, Strange.without_a_transaction, 5, "name", None.__class__]
)
def test_atomic_on_what_it_cannot_run_is_refused(body: Any) -> None:
    with pytest.raises(QueryError, match="async def"):
        Database("memory://").atomic(body)


async def test_atomic_runs_what_stands_in_for_a_function(db: Database) -> None:
    async def opened_with(balance: int, tx: Transaction, key: str) -> None:
        tx.insert(Account(id=key, balance=balance))

    class Opener:
        async def __call__(self, tx: Transaction, key: str) -> None:
            tx.insert(Account(id=key))

    async def add(tx: Transaction, key: str) -> None:
        tx.insert(Account(id=key, balance=3))

    await db.atomic(Opener())("a")  # type: ignore[call-overload] # what checkers make of it differs
    await db.atomic(functools.partial(add, key="b"))()
    assert await balances() == {"a": 100, "b": 3}


async def test_what_is_no_model_object_or_query_is_refused(db: Database) -> None:
    uses: list[Callable[[Any], Any]] = [
        lambda tx: tx.get(int, "a"),
        lambda tx: tx.get_many(Account, "abc"),
        lambda tx: tx.all(Account),
        lambda tx: tx.all(Account.balance > 3),
        lambda tx: tx.save("a"),
        lambda tx: tx.insert([Account(id="a")]),
        lambda tx: tx.delete(Account),
        lambda tx: tx.expire("a", 5),
    ]
    async with db.transaction() as tx:
        for use in uses:
            with pytest.raises(QueryError):
                await use(tx)
