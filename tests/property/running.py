"""One dataset in a database, and queries on it compared with the list it came from."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from math import fsum, inf, isinf
from typing import Any

from redisom_lite import Database
from tests.property.asking import Asked, arranged, order, place, terms, tree
from tests.property.shelf import MODELS, MULTI, NUMBERS, TAGS, Spread, things

BUDGETS = (7, 40, 4000)


class Shelf:
    """A model's records in a database, and the same records in a list.

    Some records have a lifetime that has ended and nothing has swept yet, some had one and lost it.
    """

    def __init__(self, db: Database, model: Any, rng: random.Random, *, count: int) -> None:
        self.db, self.model, self.rng, self.count = db, model, rng, count
        self.objects: list[Any] = []

    async def fill(self) -> None:
        rng, model = self.rng, self.model
        self.db.bind(model)
        made = things(model, rng, self.count)
        ended = rng.random() < 0.5
        fated = [each for each in made if ended and rng.random() < 0.2]
        kept = [each for each in made if all(each is not other for other in fated)]
        await model.objects.save_many([each for each in kept if rng.random() < 0.8] or kept)
        await model.objects.save_many(kept)
        for each in fated:
            await each.save(ttl=0.02)
        for each in rng.sample(kept, min(3, len(kept))):
            await each.save(ttl=1000)
        for each in rng.sample(kept, min(5, len(kept))):  # an index is right after changes, too
            other = things(model, rng, 1)[0]
            names = rng.sample([*NUMBERS, "text", *TAGS, *MULTI], 4)
            await each.update(**{name: getattr(other, name) for name in names})
        self.objects = kept
        if fated:
            await asyncio.sleep(0.03)

    @property
    def pks(self) -> list[Any]:
        return [each.id for each in self.objects]


async def check(shelf: Shelf, rng: random.Random) -> None:
    """Ask one random query in every way there is."""
    model = shelf.model
    shelf.db.backend.reader.budget.entries = rng.choice(BUDGETS)
    shelf.db.backend.reader.budget.ms = rng.choice(
        [0.0, 2.5, 2.5]
    )  # with none, each call does the least it can
    asked = [tree(model, rng, shelf.pks) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    wanted = order(rng)
    everything = arranged([o for o in shelf.objects if all(a.holds(o) for a in asked)], wanted)
    query = model.objects.find(*(a.condition for a in asked)).order_by(*terms(model, wanted))
    limit = rng.choice([None, None, 0, 1, 3, 10, 100])
    offset = rng.choice([0, 0, 0, 1, 5, 60])
    expected = everything[offset:] if limit is None else everything[offset : offset + limit]
    limited = query.offset(offset) if limit is None else query.offset(offset).limit(limit)

    def fail(what: str, found: Any, right: Any) -> AssertionError:
        conditions = ", ".join(a.text for a in asked)
        order_text = ", ".join(f"{t.name} {'desc' if t.descending else 'asc'}" for t in wanted)
        return AssertionError(
            f"{model.__name__} find({conditions}) order_by({order_text}) offset {offset} limit {limit} budget "
            f"{shelf.db.backend.reader.budget.entries}\n {what}: found {found!r}\n expected {right!r}"
        )

    def same(what: str, found: Any, right: Any) -> None:
        if found != right:
            raise fail(what, found, right)

    ids = [o.id for o in expected]
    ways: list[Callable[[], Any]] = []

    async def whole() -> None:
        found = await limited.all()
        same("all", [o.id for o in found], ids)
        same("dumps", [o.model_dump() for o in found], [o.model_dump() for o in expected])

    async def numbers() -> None:
        same("count", await limited.count(), len(expected))
        same("exists", await limited.exists(), bool(expected))

    async def only_keys() -> None:
        same("pks", await limited.pks(), ids)

    async def first() -> None:
        found = await limited.first()
        same("first", None if found is None else found.id, ids[0] if ids else None)

    async def values() -> None:
        names = rng.sample([*NUMBERS, "text", *TAGS, *MULTI, "id", "note"], 3)
        right = [{name: getattr(o, name) for name in names} for o in expected]
        same("values", await limited.values(*names), right)

    async def pages() -> None:
        size, after, found = rng.choice([1, 3, 7, 20, 100]), None, []
        while True:
            page = await query.page(size=size, after=after)
            found += [o.id for o in page.items]
            after = page.next
            if after is None or len(found) > len(everything):
                break
            same("page size", len(page.items), size)
        same(f"pages of {size}", found, [o.id for o in everything])

    async def batches() -> None:
        size = rng.choice([1, 4, 100])
        found = [[o.id for o in batch] async for batch in limited.batches(size)]
        same(f"batches of {size}", found, [ids[n : n + size] for n in range(0, len(ids), size)])

    async def each() -> None:
        same("async for", [o.id async for o in limited], ids)

    async def aggregates() -> None:
        name = rng.choice([*NUMBERS, "text", "id"])
        column = getattr(model, name)
        found = [getattr(o, name) for o in expected if getattr(o, name) is not None]
        at = [place(name, value) for value in found]
        same(f"min {name}", _placed(name, await limited.min(column)), min(at, default=None))
        same(f"max {name}", _placed(name, await limited.max(column)), max(at, default=None))
        name = rng.choice(["n", "d", "b", "level", "small", "f"])
        found = [getattr(o, name) for o in expected if getattr(o, name) is not None]
        total, right = await limited.sum(name), _sum(name, found)
        if total == total or right == right:  # inf - inf is NaN here and there
            same(f"sum {name}", total, right)
        name = rng.choice([*TAGS, *MULTI])
        counted: Counter[Any] = Counter()
        for o in expected:
            value = getattr(o, name)
            counted.update(set(value) if name in MULTI and value is not None else [value])
        same(f"facets {name}", await limited.facets(getattr(model, name)), dict(counted))

    ways = [whole, numbers, only_keys, first, values, pages, batches, each, aggregates]
    for way in rng.sample(ways, 3):
        try:
            await way()
        except AssertionError:
            raise
        except Exception as error:
            raise fail(way.__name__, error, ids) from error


def _placed(name: str, value: Any) -> Any:
    return None if value is None else place(name, value)


def _sum(name: str, values: list[Any]) -> Any:
    if name == "f":
        if any(isinf(value) for value in values):
            return sum(value for value in values if isinf(value))
        try:
            return fsum(values)
        except OverflowError:
            exact = sum(map(Fraction, values))
            return inf if exact > 0 else -inf
    if name == "d":
        wide = Context(prec=5000)
        total = Decimal(0)
        for value in values:
            total = wide.add(total, value)
        return total
    return sum(map(int, values))


async def run(db: Database, *, seed: int, datasets: int, queries: int, count: int = 40) -> None:
    """Many random queries on several random datasets."""
    for number in range(datasets):
        rng = random.Random(f"{seed} {number}")
        model = MODELS[number % len(MODELS)]
        shelf = Shelf(db, model, rng, count=rng.choice([3, count, count]))
        await shelf.fill()
        for at in range(queries):
            own = random.Random(f"{seed} {number} {at}")
            try:
                await check(shelf, own)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, dataset {number}, query {at}\n{error}") from error
        await db.redis.flushdb()


__all__ = ["Asked", "Shelf", "Spread", "check", "place", "run"]
