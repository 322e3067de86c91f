"""Records that change after a query found them and before it reads them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from redisom_lite import Database, Key, Model, Range, Tag

Change = Callable[[], Awaitable[Any]]


class Item(Model):
    id: Key[int]
    size: Range[int]
    color: Tag[str] = "red"


class Meanwhile:
    """A transport that lets something happen just before rows are read."""

    def __init__(self, inner: Any, changes: list[Change]) -> None:
        self._inner, self._changes = inner, changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commands(self, commands: Any, *, retry: bool = False) -> list[Any]:
        if self._changes:
            await self._changes.pop(0)()
        return await self._inner.commands(commands, retry=retry)


@pytest.fixture
async def items(url: str) -> AsyncGenerator[Database]:
    async with Database(url) as db:
        db.bind(Item)
        await Item.objects.save_many([Item(id=n, size=n) for n in range(300)])
        yield db


def _meanwhile(db: Database, *changes: Change) -> list[Change]:
    left = [*changes]
    db.backend.between = lambda transport: Meanwhile(transport, left)
    return left


async def _change() -> None:
    await Item.objects.find(Item.id == 5).update(color="blue")
    await Item.objects.find(Item.id == 6).delete()
    await Item.objects.find(Item.id == 7).update(size=1000)


async def test_rows_that_no_longer_satisfy_the_condition_are_left_out(items: Database) -> None:
    left = _meanwhile(items, _change)
    found = {each.id: each.size for each in await Item.objects.find(Item.color == "red", Item.size >= 0)}
    assert left == []  # it did happen between the two
    assert found == {n: 1000 if n == 7 else n for n in range(300) if n not in (5, 6)}


async def test_a_record_that_moved_is_not_where_it_was(items: Database) -> None:
    left = _meanwhile(items, _change)
    query = Item.objects.find(Item.color == "red").order_by(Item.size)
    found = [(each.id, each.size) for each in await query.limit(150)]
    assert left == []
    assert found == [(n, n) for n in range(153) if n not in (5, 6, 7)]


async def test_a_record_that_lacks_its_field_is_judged_by_the_index(items: Database) -> None:
    async def drop() -> None:
        await items.redis.hdel(b"{item}:r:9", "color")

    left = _meanwhile(items, drop)
    assert len(await Item.objects.find(Item.color == "red")) == 300
    assert left == []


async def test_a_record_made_anew_meanwhile_is_judged_as_it_is(items: Database) -> None:
    async def delete() -> None:
        await items.redis.delete(b"{item}:r:8")  # by another program: the index still lists it

    async def make_anew() -> None:
        await Item(id=8, size=8, color="blue").save()

    left = _meanwhile(items, delete, make_anew)
    found = [each.id for each in await Item.objects.find(Item.color == "red", Item.size < 200)]
    assert left == []
    assert found == [n for n in range(200) if n != 8]


async def test_a_record_that_moves_ahead_of_a_walk_is_in_the_answer_once(items: Database) -> None:
    items.backend.reader.budget.entries = 40
    calls = 0

    class Moving(Meanwhile):
        async def call(self, script: Any, keys: Any, args: Any) -> Any:
            nonlocal calls
            calls += script.name == "find"
            if script.name == "find" and calls == 3:
                await Item.objects.find(Item.id == 3).update(size=250)
            return await self._inner.call(script, keys, args)

    items.backend.between = lambda transport: Moving(transport, [])
    found = [each.id for each in await Item.objects.find().order_by(Item.size).limit(290)]
    assert calls > 3
    assert len(found) == len(set(found)) == 290
    assert [n for n in found if n != 3] == sorted(set(found) - {3})
