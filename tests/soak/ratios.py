"""Ratios that must hold whatever the size and the machine: `python -m tests.soak.ratios [--full]`.

    page      the first 20 of a tag and a range, ordered, among all rows: at most 1.5 times as long as among 1,000
    count     a tag and a range by their composite: at most 1.3 times one ZCOUNT through redis-py (beside it, for
              comparison, one on the library's own bare connection, which knows no models)
    ttl save  a save that gives a lifetime: at most 1.6 times as long as one that does not
    ttl size  a record with a lifetime: at most 1.4 times the memory of one without

Times are medians of calls made in turn, so that whatever else the machine does meets both sides alike.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from statistics import median
from typing import Any

from benchmarks.contenders.redisom_lite import Flight
from benchmarks.data import full_rows, sample_rows
from benchmarks.flight import values
from redisom_lite import Database, Key, Meta, Model, Range, Tag
from redisom_lite.engine import embedded

Call = Callable[[], Awaitable[object]]

SMALL = 1000


class Small(Flight):
    """The same flights, few of them."""

    meta = Meta(prefix="small", indexes=list(Flight.meta.indexes))


class Session(Model):
    """A record of the usual size of those that end."""

    token: Key[str]
    user: Tag[str]
    level: Range[int] = 0
    agent: str = ""


async def in_turn(samples: int, *calls: Call) -> list[float]:
    """The median of each in us."""
    took: list[list[float]] = [[] for _ in calls]
    for n in range(samples + 20):
        for call, times in zip(calls, took, strict=True):
            begun = time.perf_counter()
            await call()
            if n >= 20:
                times.append(time.perf_counter() - begun)
    return [median(times) * 1e6 for times in took]


async def page_ratio(samples: int) -> dict[str, float]:
    """Pages of many rows beside pages of few, with a composite and without."""

    def page(model: type[Flight], *where: Any) -> Call:
        return lambda: model.objects.find(*where).order_by(model.arr_delay).limit(20).all()

    few, many = await in_turn(
        samples,
        page(Small, Small.dest == "LAX", Small.arr_delay > 10),
        page(Flight, Flight.dest == "LAX", Flight.arr_delay > 10),
    )
    few_tags, many_tags = await in_turn(
        samples,
        page(Small, Small.carrier == "UA", Small.arr_delay > 10),
        page(Flight, Flight.carrier == "UA", Flight.arr_delay > 10),
    )
    return {"page": many / few, "page, no composite": many_tags / few_tags}


async def count_ratio(db: Database, samples: int) -> dict[str, float]:
    """A count by a composite beside ZCOUNT of its key."""
    query = Flight.objects.find(Flight.dest == "LAX", Flight.arr_delay >= 30)
    key = "{flight}:c:dest:arr_delay:LAX"
    right = await query.count()
    assert right == await db.redis.zcount(key, 30, "+inf")

    async def zcount() -> None:
        assert await db.transport.commands([(b"ZCOUNT", key, b"30", b"+inf")]) == [right]

    ours, plain, driver = await in_turn(
        samples, query.count, zcount, lambda: db.redis.zcount(key, 30, "+inf")
    )
    return {"count": ours / driver, "count, bare": ours / plain}


async def ttl_ratio(db: Database, samples: int, saved: int) -> dict[str, float]:
    """Saves with a lifetime beside saves without: time, and memory of many."""
    names = iter(range(10**9))

    def session() -> Session:
        return Session(token=f"s{next(names):09}", user="ann", agent="x" * 200)

    plain, ending = await in_turn(samples, lambda: session().save(), lambda: session().save(ttl="1h"))
    sizes: list[int] = []
    for ttl in (None, "1h"):
        await db.redis.flushall()
        await session().save()
        before = (await db.redis.info("memory"))["used_memory"]
        users = [f"u{n % 500}" for n in range(saved)]
        made = [session().model_copy(update={"user": user, "level": n}) for n, user in enumerate(users)]
        await Session.objects.save_many(made, ttl=ttl)
        sizes.append((await db.redis.info("memory"))["used_memory"] - before)
    return {"ttl save": ending / plain, "ttl size": sizes[1] / sizes[0]}


BOUNDS = {"page": 1.5, "page, no composite": 1.5, "count": 1.3, "ttl save": 1.6, "ttl size": 1.4}


async def main(
    flights: Sequence[dict[str, Any]], binary: str | None, samples: int = 500, saved: int = 20_000
) -> dict[str, float]:
    """Load, measure, print."""
    with embedded.start(binary=binary) as server:
        print(f"{server.name} {server.version}, {len(flights):,} flights")
        async with Database(server.url) as db:
            db.bind(Flight, Small, Session)
            for first in range(0, len(flights), 20_000):
                await Flight.objects.save_many([Flight(**each) for each in flights[first : first + 20_000]])
            spread = flights[:: max(1, len(flights) // SMALL)][:SMALL]
            await Small.objects.save_many([Small(**each) for each in spread])
            found = (
                await page_ratio(samples)
                | await count_ratio(db, samples)
                | await ttl_ratio(db, samples, saved)
            )
    for name, ratio in found.items():
        print(f"{name:<20}{ratio:>6.2f}   at most {BOUNDS.get(name, 0) or '-'}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="all 336,776 flights (extra `bench`)")
    parser.add_argument("--server", default=None, help="redis-server or valkey-server")
    options = parser.parse_args()
    rows = full_rows() if options.full else islice(sample_rows(), 20_000)
    ratios = asyncio.run(main(list(values(rows)), options.server))
    sys.exit(any(ratios[name] > bound for name, bound in BOUNDS.items()))
