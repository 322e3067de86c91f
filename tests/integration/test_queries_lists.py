"""Changing what a query selects by lists of many values, which are cut into slices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from redisom_lite import Database, Field, Key, Meta, Model, Range, Tag, Unique, rewriting
from redisom_lite.plan import shape, slicing
from redisom_lite.testing import _between as between


class Part(Model, abstract=True):
    id: Key[int]
    weight: Range[int]
    name: Range[str]
    kind: Tag[str]
    tags: Tag[set[str]] = Field(default_factory=set)
    stock: Range[int] = 0


class Single(Part):
    ean: Unique[str | None] = None


class Spread(Part):
    meta = Meta(partitions=3)


@pytest.fixture
async def db(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """Where lists of a few values are cut as those of thousands are."""
    for module in (slicing, rewriting):
        monkeypatch.setattr(module, "LONGEST", 6)
    monkeypatch.setattr(slicing, "_FEW", 2)
    monkeypatch.setattr(shape, "_MOST", 0)
    async with Database(url) as database:
        database.bind(Single, Spread)
        yield database


async def fill(model: type[Part] = Single) -> None:
    await model.objects.save_many(
        [
            model(id=n, weight=n, name=f"part {n}", kind=f"k{n % 9}", tags={f"t{n % 8}", "all"})
            for n in range(50)
        ]
    )


def lists(model: type[Part]) -> dict[str, tuple[Any, Callable[[int], bool]]]:
    return {
        "keys": (model.id.in_(range(5, 40)), lambda n: 5 <= n < 40),
        "numbers": (model.weight.in_(range(3, 45, 2)), lambda n: n % 2 == 1 and 3 <= n < 45),
        "texts": (model.name.in_([f"part {n}" for n in range(30)]), lambda n: n < 30),
        "tags": (model.kind.in_([f"k{n}" for n in range(2, 20)]), lambda n: n % 9 >= 2),
        "several tags": (model.tags.has_any([f"t{n}" for n in range(3, 20)]), lambda n: n % 8 >= 3),
        "keys that are not": (~model.id.in_(range(5, 40)), lambda n: not 5 <= n < 40),
        "numbers that are not": (~model.weight.in_(range(3, 45, 2)), lambda n: n % 2 == 0 or not 3 <= n < 45),
        "texts that are not": (
            ~model.name.in_([f"part {n}" for n in range(5, 30)]),
            lambda n: not 5 <= n < 30,
        ),
        "a list or another": (
            model.weight.in_(range(3, 20)) | model.name.in_([f"part {n}" for n in range(15, 30)]),
            lambda n: 3 <= n < 30,
        ),
        "keys, or more": (model.id.in_(range(5, 20)) | (model.weight > 40), lambda n: 5 <= n < 20 or n > 40),
        "two lists": (
            model.id.in_(range(5, 40)) & model.name.in_([f"part {n}" for n in range(30)]),
            lambda n: 5 <= n < 30,
        ),
    }


@pytest.mark.parametrize(
    ("model", "name"),
    [
        *((Single, name) for name in lists(Single)),
        *((Spread, name) for name in ("keys", "texts", "several tags")),
    ],
)
@pytest.mark.parametrize("limit", [None, 9])
@pytest.mark.usefixtures("db")
async def test_changes_by_lists_of_many_values_hit_each_record_once(
    name: str, model: type[Part], limit: int | None
) -> None:
    await fill(model)
    condition, holds = lists(model)[name]
    query = model.objects.find(condition).order_by(model.id.desc())
    query = query if limit is None else query.limit(limit)
    right = [n for n in reversed(range(50)) if holds(n)][:limit]
    assert await query.update(stock=77) == len(right)
    assert sorted(await model.objects.find(model.stock == 77).pks()) == sorted(right)
    assert await query.add_tags(model.tags, "all", "new") == len(right)
    assert await query.remove_tags(model.tags, "new") == len(right)
    assert await query.expire("1h") == len(right)
    assert await query.delete() == len(right)
    assert await model.objects.find().count() == 50 - len(right)
    assert (await model.objects.check()).ok


async def test_a_record_that_goes_from_one_listed_value_to_another_is_still_changed(db: Database) -> None:
    await fill()
    steps = 0

    @asynccontextmanager
    async def meanwhile(name: str) -> AsyncIterator[None]:
        nonlocal steps
        steps += name == "apply"
        if name == "apply" and steps == 1:  # the records of weight 2 and 3 have been found
            assert await Single.objects.find(Single.id == 2).update(weight=45) == 1
            assert await Single.objects.find(Single.id == 3).update(weight=200) == 1
        yield

    with between(db, meanwhile):
        assert await Single.objects.find(Single.weight.in_(range(46))).update(stock=77) == 45
    assert await Single.objects.find(Single.stock == 77).pks() == [0, 1, 2, *range(4, 46)]


async def test_changes_by_a_list_of_unique_values(db: Database) -> None:
    await Single.objects.save_many(
        [Single(id=n, weight=n, name="part", kind="k", ean=f"e{n}") for n in range(50)]
    )
    assert db is not None
    query = Single.objects.find(Single.ean.in_([f"e{n}" for n in range(7, 90)]))
    assert await query.update(stock=77) == 43
    assert await query.limit(10).delete() == 10
    assert await query.pks() == list(range(17, 50))


async def test_each_slice_is_read_by_what_is_best_for_it(db: Database) -> None:
    await Single.objects.save_many(
        [Single(id=n, weight=n, name=f"part {n}", kind="k1", tags={"all"}) for n in range(2000)]
    )
    tagged = (Single.kind == "k1") & (Single.stock == 0) & Single.tags.has("all")
    few = tagged & (Single.weight > 1996)
    query = Single.objects.find(few | Single.id.in_(range(4))).order_by(Single.name.desc()).limit(40)
    for ms in (1000.0, 0.0):  # with no time, sort keys are read first
        db.backend.reader.budget.ms = ms
        assert [each.id for each in await query] == [3, 2, 1999, 1998, 1997, 1, 0]


class Counting:
    """A transport that notes how often a word is in each step."""

    def __init__(self, inner: Any, word: bytes, found: list[int]) -> None:
        self._inner, self._word, self._found = inner, word, found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def call(self, script: Any, keys: Any, args: Any) -> Any:
        if script.name == "apply":
            self._found.append(sum(word == self._word for word in args))
        return await self._inner.call(script, keys, args)


async def test_a_guard_travels_once_with_a_step(db: Database) -> None:
    await fill()
    found = list[int]()
    counting: Any = lambda transport: Counting(transport, b"part 7", found)  # noqa: E731
    db.backend.between = counting
    names = [f"part {n}" for n in (0, 1, 2, 3, 4, 7)]
    assert await Single.objects.find(Single.name.in_(names)).update(stock=1) == 6
    assert found == [1]
