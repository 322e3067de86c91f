"""Structures of single values: counters, windows, text; and what all structures have in common."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from redisom_lite import Database, Key, Meta, Model
from redisom_lite.containers import (
    Counter,
    HashMap,
    Leaderboard,
    ListQueue,
    SetOf,
    SortedSet,
    Text,
    WindowCounter,
)
from redisom_lite.errors import ConstraintError, DeclarationError, DecodeError, NotFoundError


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url, namespace="app") as opened:
        yield opened


async def test_counter_counts_from_zero(db: Database) -> None:
    hits = Counter(db, "hits")
    assert await hits.get() == 0
    assert await hits.incr() == 1
    assert await hits.incr(41) == 42
    assert await hits.decr(2) == 40
    assert await hits.reset() == 40
    assert await hits.get() == 0


async def test_counter_incremented_by_many_tasks_counts_each_once(db: Database) -> None:
    hits = Counter(db, "hits")
    seen = await asyncio.gather(*(hits.incr() for _ in range(200)))
    assert sorted(seen) == list(range(1, 201))


async def test_counter_outside_its_bounds_is_refused_and_unchanged(db: Database) -> None:
    seats = Counter(db, "seats", ge=0, le=3)
    await seats.incr(3)
    with pytest.raises(ConstraintError, match="bounds"):
        await seats.incr()
    with pytest.raises(ConstraintError, match="bounds"):
        await seats.decr(4)
    assert await seats.get() == 3


async def test_counter_of_100_seats_sells_exactly_100_to_500_buyers(db: Database) -> None:
    seats = Counter(db, "seats", ge=0)
    await seats.reset(100)
    outcomes = await asyncio.gather(*(seats.decr() for _ in range(500)), return_exceptions=True)
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 100
    assert sum(isinstance(outcome, ConstraintError) for outcome in outcomes) == 400
    assert await seats.get() == 0


async def test_counter_is_exact_to_64_bits_and_refuses_more(db: Database) -> None:
    big = Counter(db, "big")
    await big.reset(2**62)
    assert await big.incr(2**53 + 1) == 2**62 + 2**53 + 1
    with pytest.raises(ConstraintError, match="too large"):
        await big.incr(2**63 - 1)


async def test_counter_bound_beyond_what_the_server_compares_exactly_is_refused(db: Database) -> None:
    with pytest.raises(DeclarationError, match=r"2\*\*53"):
        Counter(db, "big", le=2**60)


async def test_window_counts_the_last_while_and_forgets(db: Database) -> None:
    logins = WindowCounter(db, "logins", window="1s", le=3)
    assert await logins.incr() == 1
    assert await logins.incr(2) == 3
    with pytest.raises(ConstraintError):
        await logins.incr()
    assert await logins.get() == 3
    await asyncio.sleep(1.03)  # a window and its sixtieth
    assert await logins.get() == 0
    assert await logins.incr() == 1
    assert await logins.ttl() is not None


async def test_window_never_forgets_early(db: Database) -> None:
    logins = WindowCounter(db, "logins", window="1s")
    began = time.monotonic()
    await logins.incr()
    while await logins.get():  # noqa: ASYNC110 - time's work
        await asyncio.sleep(0.001)
    assert time.monotonic() - began > 0.99


@pytest.mark.parametrize("text", ["plain ascii", "héllo wörld ✓ 🎉!", ""])
async def test_text_slices_as_python_does(db: Database, text: str) -> None:
    stored = Text(db, "note")
    await stored.set(text)
    for start in (0, 1, 3, 40, -1, -3, -40):
        for stop in (None, 0, 2, 7, 40, -1, -40):
            assert await stored.slice(start, stop) == text[start:stop], (start, stop)
    assert await stored.len() == len(text)
    assert await stored.get() == text


async def test_text_append_and_write(db: Database) -> None:
    note = Text(db, "note")
    await note.append("Hällo ")
    await note.append("Wörld")
    assert await note.write(6, "Redis, du") == 15
    assert await note.get() == "Hällo Redis, du"
    assert await note.write(17, "x") == 18
    assert await note.get() == "Hällo Redis, du  x"
    with pytest.raises(ConstraintError):
        await note.write(-1, "x")


async def test_text_that_is_no_utf8_is_a_decode_error(db: Database) -> None:
    note = Text(db, "note")
    await db.redis.set(note.key, b"\xff")
    with pytest.raises(DecodeError):
        await note.get()


async def test_lifetime_begins_with_the_write_that_creates(db: Database) -> None:
    hits = Counter(db, "hits", ttl="10s")
    assert not await hits.exists()
    await hits.incr()
    await hits.expire("5s")
    await hits.incr()
    left = await hits.ttl()
    assert left is not None
    assert timedelta(seconds=4) < left <= timedelta(seconds=5)
    await hits.persist()
    assert await hits.ttl() is None


async def test_sliding_lifetime_is_renewed_by_writes_and_reads(db: Database) -> None:
    seen = SetOf(db, "seen", ttl="10s", sliding=True)
    for renew in (lambda: seen.add("b"), seen.len, lambda: seen.contains("a")):
        await seen.add("a")
        await seen.expire("4s")
        await renew()
        left = await seen.ttl()
        assert left is not None
        assert left > timedelta(seconds=5)


async def test_structure_ends_with_its_lifetime(db: Database) -> None:
    hits = Counter(db, "hits", ttl="60ms")
    await hits.incr(5)
    await asyncio.sleep(0.1)
    assert await hits.get() == 0
    with pytest.raises(NotFoundError):
        await hits.ttl()


async def test_lifetime_of_what_does_not_exist_is_not_found(db: Database) -> None:
    with pytest.raises(NotFoundError):
        await Text(db, "nothing").expire("1s")
    with pytest.raises(NotFoundError):
        await Text(db, "nothing").persist()


async def test_structures_of_one_name_and_different_kinds_are_apart(db: Database) -> None:
    await Counter(db, "x").incr(7)
    await Text(db, "x").set("seven")
    await SetOf(db, "x").add("7")
    await ListQueue(db, "x").push("a")
    await HashMap[str, str](db, "x").set("a", "b")
    await SortedSet(db, "x").add("a", 1)
    assert await Counter(db, "x").get() == 7
    assert await Counter(db, "x").delete()
    assert await Text(db, "x").get() == "seven"
    assert await Leaderboard(db, "x").score("a") == 1


@pytest.mark.parametrize("name", ["shop", "a:b", "a b", "{x}", "1", "r:1", "ünï", "a*?[]"])
async def test_key_is_no_key_of_any_model_and_stays_in_one_slot(db: Database, name: str) -> None:
    class Shop(Model):
        meta = Meta(db=db, prefix="shop", group=None)
        id: Key[str]

    await Shop(id="1").save()
    await Counter(db, name).incr()
    await Counter(db, "c", group=name).incr()
    assert await Counter(db, name).get() == 1
    assert (await Shop.objects.check()).ok
    assert await Shop.objects.find().count() == 1
    assert Counter(db, name).key.startswith("{app:")
    assert Counter(db, name).key != Counter(db, "c", group=name).key


async def test_namespaces_are_apart(url: str) -> None:
    async with Database(url, namespace="one") as one, Database(url, namespace="two") as two:
        await Counter(one, "n").incr()
        assert await Counter(two, "n").get() == 0


async def test_structure_without_name_is_refused(db: Database) -> None:
    with pytest.raises(DeclarationError):
        Counter(db, "")
    with pytest.raises(DeclarationError):
        Counter(db, "n", sliding=True)


async def test_structure_without_its_types_says_what_to_write(db: Database) -> None:
    with pytest.raises(DeclarationError, match=r"HashMap\[str, int\]"):
        HashMap(db, "x")
    with pytest.raises(DeclarationError, match="2 types"):
        HashMap[str]  # type: ignore[misc]


async def test_structure_of_a_type_pydantic_does_not_know_is_refused() -> None:
    class Strange:
        pass

    with pytest.raises(DeclarationError):
        SetOf[Strange]
