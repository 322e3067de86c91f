"""Maps, sets and sorted sets of typed values."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from enum import Enum
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, ValidationError

from redisom_lite import Database
from redisom_lite.containers import HashMap, Leaderboard, SetOf
from redisom_lite.errors import BackendError, ConstraintError, DecodeError, NotFoundError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    sku: str
    price: Decimal


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        yield opened


# HashMap


async def test_map_is_a_dict(db: Database) -> None:
    stock = HashMap[str, int](db, "stock")
    assert await stock.get("tea") is None
    assert await stock.get("tea", 0) == 0
    assert await stock.set("tea", 3)
    assert not await stock.set("tea", 4)
    assert await stock.update({"tea": 5, "cup": 1}) == 1
    assert await stock.items() == {"tea": 5, "cup": 1}
    assert await stock.get_many(["cup", "nothing", "tea"]) == [1, None, 5]
    assert await stock.contains("tea")
    assert await stock.len() == 2
    assert await stock.set_default("tea", 9) == 5
    assert await stock.set_default("pot", 9) == 9
    assert await stock.pop("pot") == 9
    assert await stock.pop("pot") is None
    assert await stock.discard("cup", "nothing") == 1
    assert [pair async for pair in stock] == [("tea", 5)]


async def test_map_gives_back_what_was_stored_for_every_type(db: Database) -> None:
    key = uuid4()
    prices = HashMap[UUID, Item](db, "prices")
    await prices.set(key, Item(sku="tea", price=Decimal("1.10")))
    assert await prices.items() == {key: Item(sku="tea", price=Decimal("1.10"))}
    days = HashMap[date, list[Colour] | None](db, "days")
    await days.update({date(2024, 2, 29): [Colour.RED], date(2024, 3, 1): None, date(2024, 3, 2): []})
    assert await days.items() == {
        date(2024, 2, 29): [Colour.RED],
        date(2024, 3, 1): None,
        date(2024, 3, 2): [],
    }
    flags = HashMap[tuple[int, str], bool](db, "flags")
    await flags.set((1, "a:b"), False)
    assert await flags.get((1, "a:b")) is False


async def test_map_refuses_what_is_not_of_its_type_and_shows_no_value(db: Database) -> None:
    stock = HashMap[str, int](db, "stock")
    with pytest.raises(ValidationError) as refused:
        await stock.set("tea", "secret")  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)
    with pytest.raises(ConstraintError):
        await stock.set("\ud800", 1)
    assert await stock.len() == 0


async def test_map_that_holds_something_else_is_a_decode_error(db: Database) -> None:
    stock = HashMap[str, int](db, "stock")
    await HashMap[str, str](db, "stock").set("tea", "many")
    with pytest.raises(DecodeError, match="stock") as refused:
        await stock.get("tea")
    assert "many" not in str(refused.value)


async def test_map_incr_within_bounds(db: Database) -> None:
    stock = HashMap[str, int](db, "stock")
    assert await stock.incr("tea", 2) == 2
    assert await stock.incr("tea", -1, ge=0) == 1
    with pytest.raises(ConstraintError):
        await stock.incr("tea", -2, ge=0)
    with pytest.raises(ConstraintError):
        await stock.incr("tea", 0.5)
    assert await stock.get("tea") == 1
    ratio = HashMap[str, float](db, "ratio")
    assert await ratio.incr("a", 0.5) == 0.5
    assert await ratio.incr("a", 0.25, le=0.75) == 0.75
    with pytest.raises(ConstraintError):
        await HashMap[str, str](db, "names").incr("a")


async def test_map_iterates_over_thousands_of_items(db: Database) -> None:
    numbers = HashMap[int, int](db, "numbers")
    everything = {n: n * n for n in range(5000)}
    assert await numbers.update(everything) == 5000
    assert {key: value async for key, value in numbers} == everything
    assert await numbers.discard(*range(4990)) == 4990


async def test_map_item_lifetime_where_the_server_has_it(db: Database, lane: str) -> None:
    carts = HashMap[str, int](db, "carts")
    await carts.update({"a": 1, "b": 2})
    if lane != "memory":
        with pytest.raises(BackendError, match="HPEXPIRE"):
            await carts.expire_item("a", "50ms")
        return
    await carts.expire_item("a", "50ms")
    with pytest.raises(NotFoundError):
        await carts.expire_item("nothing", "50ms")
    await asyncio.sleep(0.1)
    assert await carts.items() == {"b": 2}


# SetOf


async def test_set_is_a_set(db: Database) -> None:
    seen = SetOf[int](db, "seen")
    assert await seen.add(1, 2, 2, 3) == 3
    assert await seen.add(3, 4) == 1
    assert await seen.contains(4)
    assert not await seen.contains(5)
    assert await seen.discard(4, 5) == 1
    assert await seen.len() == 3
    assert await seen.members() == {1, 2, 3}
    assert {member async for member in seen} == {1, 2, 3}
    assert set(await seen.random(5)) == {1, 2, 3}
    popped = await seen.pop()
    assert popped is not None
    assert {popped, *await seen.pop(9)} == {1, 2, 3}
    assert await seen.pop() is None
    assert await seen.pop(3) == []
    assert await seen.random() == []


async def test_set_algebra(db: Database) -> None:
    a, b, c = (SetOf[int](db, name, group="numbers", ttl="1m") for name in "abc")
    await a.add(*range(10))
    await b.add(*range(5, 15))
    assert await a.union(b) == set(range(15))
    assert await a.intersection(b) == set(range(5, 10))
    assert await a.difference(b) == set(range(5))
    assert await c.store_union(a, b) == 15
    assert await c.members() == set(range(15))
    assert await c.store_intersection(a, b) == 5
    assert await c.store_difference(a, b) == 5
    assert await c.members() == set(range(5))
    assert await c.ttl() is not None


async def test_set_popped_by_many_gives_each_member_once(db: Database) -> None:
    tickets = SetOf[int](db, "tickets")
    await tickets.add(*range(100))
    popped = await asyncio.gather(*(tickets.pop() for _ in range(150)))
    assert sorted(member for member in popped if member is not None) == list(range(100))


# Leaderboard


async def test_leaderboard_against_a_sorted_list(db: Database) -> None:
    chance = random.Random(7)
    scores = {f"p{n}": float(chance.randint(0, 50)) for n in range(200)}
    board = Leaderboard[str](db, "weekly", ttl="7d")
    assert await board.update(scores) == 200
    ranked = sorted(scores.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)
    assert await board.top(7) == ranked[:7]
    assert await board.bottom(7) == ranked[::-1][:7]
    assert await board.slice(50, 60) == ranked[50:60]
    assert await board.page(3, size=30) == ranked[90:120]
    assert await board.page(7, size=30) == []
    assert [pair async for pair in board] == ranked
    for place in (0, 1, 100, 199):
        name = ranked[place][0]
        assert await board.rank(name) == place
        assert await board.around(name, 3) == ranked[max(0, place - 3) : place + 4]
    between = [pair for pair in ranked if 10 <= pair[1] <= 20]
    assert await board.between(10, 20) == between
    assert await board.between(10, 20, limit=3, offset=2) == between[2:5]
    assert await board.count(10, 20) == len(between)
    assert await board.len() == 200
    assert await board.keep_top(20) == 180
    assert await board.top(99) == ranked[:20]


async def test_leaderboard_changes(db: Database) -> None:
    board = Leaderboard[int](db, "weekly")
    assert await board.add(1, 5)
    assert not await board.add(1, 6)
    assert await board.incr(1, 0.5) == 6.5
    assert await board.incr(2) == 1
    assert await board.score(1) == 6.5
    assert await board.score(3) is None
    assert await board.rank(3) is None
    assert await board.around(3) == []
    assert await board.top(0) == await board.bottom(0) == []
    assert await board.pop_top() == (1, 6.5)
    assert await board.pop_bottom() == (2, 1)
    assert await board.pop_bottom() is None
    assert not await board.contains(1)
    with pytest.raises(ConstraintError):
        await board.add(1, float("nan"))
    await board.add(1, float("inf"))
    assert await board.top() == [(1, float("inf"))]
