"""Every shape of call at its worst, each a coroutine on a database of flights: what `server_time` measures."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.contenders.redisom_lite import Flight
from redisom_lite import Database
from redisom_lite.columns import Column
from redisom_lite.query import Query

Shape = Callable[[Database], Awaitable[object]]

_YEAR = datetime(2013, 1, 1, tzinfo=UTC)
_FIND = Flight.objects.find


async def _page(query: Query[Flight], size: int = 20) -> None:
    await query.limit(size).all()


async def _each(query: Query[Flight]) -> None:
    async for _ in query:
        pass


async def _pages(query: Query[Flight], count: int, size: int = 20) -> None:
    after = None
    for _ in range(count):
        page = await query.page(size=size, after=after)
        after = page.next
        if after is None:
            return


def _alternatives(count: int) -> Any:
    """An OR of many ranges of different columns."""
    columns: list[Column[Any]] = [Flight.dep_delay, Flight.arr_delay]
    some = columns[0].between(-3, -3)
    for n in range(count):
        some = some | columns[n % 2].between(n - 20, n - 20)
    return some


def reads(tails: Sequence[str], dests: Sequence[str]) -> dict[str, Callable[[], Awaitable[object]]]:
    """Queries, by name; `tails` are the tail numbers there are, `dests` the destinations."""
    rng = random.Random(3)
    late, united = Flight.dep_delay > 30, Flight.carrier == "UA"
    some_keys = rng.sample(range(300_000), 10_000)
    many_keys = rng.sample(range(300_000), 20_000)
    moments = [_YEAR + timedelta(hours=n) for n in range(3000)]
    return {
        "page, tag and range, composite": lambda: _page(
            _FIND(Flight.dest == "LAX", Flight.arr_delay > 30).order_by(Flight.arr_delay)
        ),
        "page, tag and range": lambda: _page(_FIND(united, late).order_by(Flight.dep_delay)),
        "page, selective tag": lambda: _page(_FIND(Flight.carrier == "OO", late).order_by(Flight.dep_delay)),
        "page, tag against range": lambda: _page(
            _FIND(Flight.carrier == "HA", Flight.dep_delay > -5).order_by(Flight.dep_delay)
        ),
        "page, ordered by another field": lambda: _page(_FIND(Flight.dest == "LAX").order_by(Flight.tailnum)),
        "page of 1000, ordered by another field": lambda: _page(
            _FIND(united, late).order_by(Flight.time_hour), 1000
        ),
        "all, ordered by another field": lambda: (
            _FIND(Flight.origin == "JFK", late).order_by(Flight.time_hour).pks()
        ),
        "three order terms, limit": lambda: _page(
            _FIND(united).order_by(Flight.dep_delay, Flight.time_hour.desc(), Flight.tailnum)
        ),
        "text order, rare filter": lambda: _page(
            _FIND(Flight.carrier == "OO").order_by(Flight.tailnum.desc())
        ),
        "offset 100,000": lambda: _page(_FIND(late | ~late).order_by(Flight.time_hour).offset(100_000)),
        "offset 300,000, by key": lambda: _page(_FIND().offset(300_000)),
        "offset 20,000 of a tag": lambda: _page(_FIND(united).order_by(Flight.arr_delay).offset(20_000)),
        "OR of 60 ranges, limit": lambda: _page(_FIND(_alternatives(60)).order_by(Flight.dep_delay)),
        "OR of 60 ranges, count": lambda: _FIND(_alternatives(60)).count(),
        "OR of tags, ordered": lambda: _page(
            _FIND(united | (Flight.dest == "LAX")).order_by(Flight.arr_delay.desc())
        ),
        "NOT, page": lambda: _page(_FIND(~united).order_by(Flight.dep_delay.desc())),
        "NOT of a range and a tag, count": lambda: _FIND(~(late & united)).count(),
        "NOT of nearly all, page": lambda: _page(
            _FIND(~(Flight.dep_delay > -25), ~(Flight.dep_delay.is_none()))
        ),
        "text prefix of all, page": lambda: _page(
            _FIND(Flight.tailnum.startswith("N"), united).order_by(Flight.dep_delay)
        ),
        "text prefix of all, count": lambda: _FIND(Flight.tailnum.startswith("N"), united).count(),
        "text prefix as filter, order": lambda: _page(
            _FIND(Flight.tailnum.startswith("N9")).order_by(Flight.time_hour)
        ),
        "text in_ of 2,000, page": lambda: _page(
            _FIND(Flight.tailnum.in_(tails[:2000])).order_by(Flight.dep_delay)
        ),
        "text in_ of 2,000, count": lambda: _FIND(Flight.tailnum.in_(tails[:2000])).count(),
        "number in_ of 300, page": lambda: _page(
            _FIND(Flight.dep_delay.in_(range(0, 600, 2))).order_by(Flight.time_hour)
        ),
        "number in_ of 3,000, count": lambda: _FIND(Flight.time_hour.in_(moments), united).count(),
        "number in_ of 3,000, page": lambda: _page(
            _FIND(Flight.time_hour.in_(moments), united).order_by(Flight.arr_delay)
        ),
        "number not in 3,000, count": lambda: _FIND(~Flight.time_hour.in_(moments)).count(),
        "keys in_ of 10,000": lambda: _page(_FIND(Flight.id.in_(some_keys)).order_by(Flight.dep_delay)),
        "keys in_ of 10,000, count": lambda: _FIND(Flight.id.in_(some_keys), late).count(),
        "keys in_ of 20,000": lambda: _page(_FIND(Flight.id.in_(many_keys)).order_by(Flight.dep_delay)),
        "keys in_ of 20,000, all": lambda: _FIND(Flight.id.in_(many_keys)).values("dep_delay"),
        "keys in_ of 20,000, count": lambda: _FIND(Flight.id.in_(many_keys), late).count(),
        "keys in_ of 20,000, facets": lambda: _FIND(Flight.id.in_(many_keys)).facets(Flight.dest),
        "keys in_ of 20,000, sum": lambda: _FIND(Flight.id.in_(many_keys)).sum(Flight.dep_delay),
        "tag in_ of 80, ordered": lambda: _page(_FIND(Flight.dest.in_(dests)).order_by(Flight.arr_delay)),
        "tag in_ of 80, other order": lambda: _page(_FIND(Flight.dest.in_(dests)).order_by(Flight.time_hour)),
        "tag in_ of 80, count": lambda: _FIND(Flight.dest.in_(dests), late).count(),
        "count of a range": lambda: _FIND(late).count(),
        "count of tag and range": lambda: _FIND(united, Flight.dep_delay > 0).count(),
        "count of two tags and two ranges": lambda: _FIND(
            united, Flight.origin == "EWR", Flight.dep_delay > 0, Flight.arr_delay < 60
        ).count(),
        "count with a composite": lambda: _FIND(Flight.dest == "LAX", Flight.arr_delay > 0).count(),
        "exists of what is not": lambda: _FIND(Flight.carrier == "HA", Flight.dest == "LAX").exists(),
        "facets of all": lambda: Flight.objects.find().facets(Flight.carrier),
        "facets of a range": lambda: _FIND(Flight.dep_delay > -100).facets(Flight.dest),
        "sum of all": lambda: _FIND().sum(Flight.dep_delay),
        "sum of a tag": lambda: _FIND(united).sum(Flight.arr_delay),
        "min and max of a tag": lambda: _both(_FIND(united), Flight.time_hour),
        "min and max of a text": lambda: _both(_FIND(Flight.carrier == "OO"), Flight.tailnum),
        "max of a rare tag": lambda: _both(_FIND(Flight.carrier == "OO", ~late), Flight.arr_delay),
        "keys of all": lambda: _FIND().pks(),
        "records of a tag": lambda: _FIND(Flight.carrier == "AS").all(),
        "values of a range": lambda: _FIND(Flight.dep_delay > 120).values("tailnum", "dep_delay"),
        "async for, ordered": lambda: _each(_FIND(Flight.dest == "ATL").order_by(Flight.dep_delay)),
        "300 pages": lambda: _pages(_FIND(united).order_by(Flight.time_hour), 300),
        "pages of 500, two terms": lambda: _pages(
            _FIND(late).order_by(Flight.dep_delay, Flight.arr_delay), 20, 500
        ),
        "pages by text": lambda: _pages(_FIND(Flight.origin == "LGA").order_by(Flight.tailnum.desc()), 100),
        "get_many of 5,000": lambda: Flight.objects.get_many(some_keys[:5000]),
        "explain": lambda: _FIND(united, late, Flight.tailnum.in_(tails[:2000])).explain(),
    }


async def _both(query: Query[Flight], column: Column[Any]) -> None:
    await query.min(column)
    await query.max(column)


def fresh(template: dict[str, Any], count: int, first: int) -> list[Flight]:
    """New flights: one after the other, otherwise alike but for delays and tail numbers."""
    rng = random.Random(first)
    return [
        Flight(
            **template
            | {"id": first + n, "dep_delay": rng.randrange(500), "tailnum": f"T{rng.randrange(5000)}"}
        )
        for n in range(count)
    ]


def writes(template: dict[str, Any]) -> dict[str, Shape]:
    """Writes and upkeep, in this order: what they leave behind is what they found."""
    extra = Flight.objects.find(Flight.id.in_(range(10_000_000, 10_020_000)))

    async def save_many(_: Database) -> None:
        await Flight.objects.save_many(fresh(template, 20_000, 10_000_000))

    async def expire_at_once(_: Database) -> None:
        await Flight.objects.find(Flight.id >= 10_000_000).expire("1ms")

    async def save_some_to_sweep(db: Database) -> None:
        await Flight.objects.save_many(fresh(template, 20_000, 11_000_000), ttl="1ms")

    return {
        "save_many of 20,000": save_many,
        "save_many over what is there": save_many,
        "update by a list of 4,000 texts": lambda _: Flight.objects.find(
            Flight.tailnum.in_([f"T{n}" for n in range(4000)])
        ).update(arr_delay=4),
        "update by query": lambda _: extra.update(dep_delay=7, tailnum="T1"),
        "update by query, condition": lambda _: Flight.objects.find(Flight.tailnum == "T1").update(
            arr_delay=3
        ),
        "expire by query": lambda _: extra.expire("1h"),
        "delete by query": lambda _: extra.delete(),
        "save_many with ttl": save_some_to_sweep,
        "count while 20,000 are overdue": lambda _: Flight.objects.find(Flight.carrier == "UA").count(),
        "page while 20,000 are overdue": lambda _: _page(
            Flight.objects.find(Flight.origin == template["origin"]).order_by(Flight.dep_delay.desc())
        ),
        "sweep of 20,000": lambda _: Flight.objects.sweep(),
        "delete_many of 5,000": lambda _: _saved_and_deleted(template),
        "check": lambda _: Flight.objects.check(),
        "reindex": lambda _: Flight.objects.reindex(),
    }


async def _saved_and_deleted(template: dict[str, Any]) -> None:
    made = fresh(template, 5_000, 12_000_000)
    await Flight.objects.save_many(made)
    await Flight.objects.delete_many([each.id for each in made])
