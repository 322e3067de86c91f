"""Ordered pages out of a few records: gathered, and sorted by the server, whatever the order and the place in it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from redisom_lite import Database, Key, Meta, Model, Range, Tag
from tests.paging import paged

RARE, COMMON = 120, 5000


class Berth(Model):
    """One of many, of which few are of a kind."""

    meta = Meta(prefix="berth")

    id: Key[int]
    kind: Tag[str]
    depth: Range[int | None]
    length: Range[float]
    name: Range[str]


def berths(seed: int) -> list[Berth]:
    """Of the rare kinds every ninth has no depth, and depths repeat."""
    rng = random.Random(seed)
    kinds = ["rare"] * RARE + ["odd"] * 40 + ["common"] * COMMON
    rng.shuffle(kinds)
    return [
        Berth(
            id=n,
            kind=kind,
            depth=None if n % 9 == 0 else rng.randrange(60),
            length=rng.choice([-1e300, -2.5, 0.0, 0.1, 7e-12, 5e17, float(n)]),
            name=rng.choice("abcdé") + rng.choice(["", "\0", "z"]),
        )
        for n, kind in enumerate(kinds)
    ]


ROWS = berths(7)


@pytest.fixture
async def db(real_url: str) -> AsyncIterator[Database]:
    async with Database(real_url) as opened:
        opened.bind(Berth)
        await Berth.objects.save_many(berths(7))
        yield opened


ORDERS: dict[str, tuple[Any, Callable[[Berth], Any]]] = {
    "depth": (Berth.depth, lambda berth: berth.depth),
    "length": (Berth.length, lambda berth: berth.length),
    "name": (Berth.name, lambda berth: berth.name.encode()),
    "key": (Berth.id, lambda berth: berth.id),
}


def sorted_as_asked(rows: list[Berth], key: Callable[[Berth], Any], *, descending: bool) -> list[int]:
    """What has a value by value and key, then what has none."""
    there = [row for row in rows if key(row) is not None]
    ranked = sorted(there, key=lambda row: (key(row), row.id), reverse=descending)
    rest = sorted((row for row in rows if key(row) is None), key=lambda row: row.id, reverse=descending)
    return [row.id for row in [*ranked, *rest]]


async def test_gathered_pages_are_those_of_sorting(db: Database) -> None:
    assert db
    conditions = [
        (Berth.kind == "rare", lambda row: row.kind == "rare"),
        (
            (Berth.kind == "rare") & (Berth.depth > 30),
            lambda row: row.kind == "rare" and (row.depth or 0) > 30,
        ),
        (
            (Berth.kind == "rare") & (Berth.depth.between(10, 10) | (Berth.length < 0)),
            lambda row: row.kind == "rare" and (row.depth == 10 or row.length < 0),
        ),
        (Berth.kind.in_(["rare", "odd"]), lambda row: row.kind in ("rare", "odd")),
        ((Berth.kind == "odd") & (Berth.depth == None), lambda row: row.kind == "odd" and row.depth is None),  # noqa: E711
    ]
    gathered = 0
    for condition, test in conditions:
        rows = [row for row in ROWS if test(row)]
        for name, (column, key) in ORDERS.items():
            for descending in (False, True):
                expected = sorted_as_asked(rows, key, descending=descending)
                query = Berth.objects.find(condition).order_by(column.desc() if descending else column)
                for limit, offset in ((1, 0), (20, 0), (7, 11), (100, 0), (20, 95)):
                    found = [berth.id for berth in await query.limit(limit).offset(offset)]
                    assert found == expected[offset : offset + limit], (name, descending, limit, offset)
                assert [berth.id for page in await paged(query, 13) for berth in page] == expected
                gathered += (await query.limit(20).explain()).strategy == "gather"
    assert gathered > len(conditions) * 4


async def test_a_bound_on_the_column_of_the_order_reads_its_scores_once(db: Database) -> None:
    query = Berth.objects.find(Berth.kind == "rare", Berth.depth > 30).order_by(Berth.depth).limit(20)
    assert (await query.explain()).strategy == "gather"
    await query
    await db.redis.config_resetstat()
    assert len(await query) == 20
    stats = await db.redis.info("commandstats")
    asked = {
        name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("zmscore", "smembers", "sscan")
    }
    assert asked == {"zmscore": 1, "smembers": 1, "sscan": 0}
