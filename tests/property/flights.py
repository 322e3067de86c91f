"""Queries on the flights table, answered by the library and by SQLite: `python -m tests.property.flights [--full]`.

The 20,000 flights of the repository, or with `--full` all 336,776 (extra `bench`).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from benchmarks.data import full_rows, sample_rows
from redisom_lite import Composite, Database, Key, Meta, Model, Range, Tag


class Flight(Model):
    meta = Meta(indexes=[Composite("carrier", "distance"), Composite("origin", "dep_delay")])
    id: Key[int]
    carrier: Tag[str]
    origin: Tag[str]
    dest: Tag[str]
    tailnum: Range[str | None] = None
    dep_delay: Range[int | None] = None
    arr_delay: Range[int | None] = None
    air_time: Range[float | None] = None
    distance: Range[int] = 0


_NUMBERS = ("dep_delay", "arr_delay", "air_time", "distance")
_TAGS = ("carrier", "origin", "dest")


def flights(rows: Iterable[dict[str, str]]) -> Iterator[Flight]:
    """The rows as records, numbered in the order of the table."""
    for number, row in enumerate(rows):
        fields = {name: row[name] or None for name in (*_TAGS, "tailnum", *_NUMBERS)}
        yield Flight(id=number, **fields)  # type: ignore[arg-type]


def table(records: Iterable[Flight]) -> sqlite3.Connection:
    """The same in SQLite."""
    db = sqlite3.connect(":memory:")
    names = list(Flight.model_fields)
    db.execute(f"create table flight ({', '.join(names)})")
    marks = ", ".join("?" * len(names))
    db.executemany(
        f"insert into flight values ({marks})", ([getattr(each, name) for name in names] for each in records)
    )
    for name in names:
        db.execute(f"create index by_{name} on flight ({name})")
    return db


class Asker:
    """Random conditions in both languages, with operands from the data."""

    def __init__(self, lite: sqlite3.Connection, rng: random.Random) -> None:
        self.rng = rng
        self.pools = {
            name: [
                row[0] for row in lite.execute(f"select distinct {name} from flight where {name} is not null")
            ]
            for name in (*_TAGS, "tailnum", *_NUMBERS)
        }

    def leaf(self) -> tuple[Any, str]:
        rng = self.rng
        name = rng.choice([*_TAGS, *_TAGS, "tailnum", *_NUMBERS])
        column, pool = getattr(Flight, name), self.pools[name]
        a, b = sorted(rng.choices(pool, k=2))
        if rng.random() < 0.1 and name not in (*_TAGS, "distance"):
            return column.is_none(), f"{name} is null"
        if name in _TAGS:
            several = rng.sample(pool, min(len(pool), rng.randint(1, 4)))
            listed = ", ".join(map(repr, several))
            return rng.choice(
                [(column == a, f"{name} is {a!r}"), (column.in_(several), f"{name} in ({listed})")]
            )
        if name == "tailnum" and rng.random() < 0.5:
            start = a[: rng.randint(1, 4)]
            return column.startswith(start), f"coalesce(substr({name}, 1, {len(start)}) = {start!r}, 0)"
        return rng.choice(
            [
                (column >= a, f"coalesce({name} >= {a!r}, 0)"),
                (column < b, f"coalesce({name} < {b!r}, 0)"),
                (column.between(a, b), f"coalesce({name} between {a!r} and {b!r}, 0)"),
                (column != a, f"{name} is not {a!r}"),
                (column.in_([a, b]), f"coalesce({name} in ({a!r}, {b!r}), 0)"),
            ]
        )

    def tree(self, depth: int = 2) -> tuple[Any, str]:
        kind = self.rng.random()
        if not depth or kind < 0.4:
            return self.leaf()
        one, sql = self.tree(depth - 1)
        if kind < 0.5:
            return ~one, f"not ({sql})"
        other, more = self.tree(depth - 1)
        if kind < 0.8:
            return one & other, f"(({sql}) and ({more}))"
        return one | other, f"(({sql}) or ({more}))"

    def order(self) -> tuple[list[Any], str]:
        names = self.rng.sample([*_NUMBERS, "tailnum"], self.rng.choice([0, 1, 1, 2]))
        terms, words, direction = [], [], "asc"
        for name in names:
            direction = self.rng.choice(["asc", "desc"])
            terms.append(getattr(getattr(Flight, name), direction)())
            words.append(f"{name} {direction} nulls last")
        return terms, ", ".join([*words, f"id {direction}"])


async def compare(lite: sqlite3.Connection, *, seed: int, queries: int) -> int:
    """Ask both; how many queries differed (each is printed)."""
    rng = random.Random(seed)
    asker, different = Asker(lite, rng), 0
    for _ in range(queries):
        condition, sql = asker.tree()
        terms, order = asker.order()
        limit, offset = rng.choice([1, 20, 20, 100]), rng.choice([0, 0, 0, 7, 500])
        query = Flight.objects.find(condition)
        count, total, least, most = lite.execute(
            f"select count(*), coalesce(sum(distance), 0), min(dep_delay), max(tailnum) from flight where {sql}"
        ).fetchone()
        facets = dict(lite.execute(f"select carrier, count(*) from flight where {sql} group by carrier"))
        page = lite.execute(
            f"select id from flight where {sql} order by {order} limit {limit} offset {offset}"
        )
        right = (count, total, least, most, facets, [row[0] for row in page])
        limited = query.order_by(*terms).limit(limit).offset(offset)
        found = (
            await query.count(),
            await query.sum(Flight.distance),
            await query.min(Flight.dep_delay),
            await query.max(Flight.tailnum),
            await query.facets(Flight.carrier),
            [each.id for each in await limited],
        )
        if found != right or await limited.pks() != right[-1]:
            different += 1
            print(f"where {sql} order by {order} limit {limit} offset {offset}\n {found}\n {right}")
    return different


async def main(rows: Iterable[dict[str, str]], url: str = "embedded://", *, queries: int = 200) -> int:
    """Load both, and compare."""
    records = list(flights(rows))
    with closing(table(records)) as lite:
        async with Database(url) as db:
            db.bind(Flight)
            await Flight.objects.save_many(records)
            return await compare(lite, seed=1, queries=queries)


if __name__ == "__main__":
    wrong = asyncio.run(main(full_rows() if "--full" in sys.argv else sample_rows()))
    print(f"{wrong} of 200 queries differ")
    sys.exit(bool(wrong))
