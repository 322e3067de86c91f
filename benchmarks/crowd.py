"""Many tasks at once: reads by key beside redis-py's own, and transactions that all want one record.

python -m benchmarks.crowd            on asyncio's loop
python -m benchmarks.crowd uvloop     on uvloop

Reads: 200 tasks, each with a `get` of its own, against 200 with an `hgetall` through a blocking pool of 16 connections.
Both take turns. The hash that `hgetall` gives is not made an object; `get` makes one.

Hot key: 64 tasks, each reads one record and writes it back changed, again and again. A tail that is long beside the
median says that some tasks wait while others go on.
"""

from __future__ import annotations

import asyncio
import importlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio

from redisom_lite import Database, Key, Model, Range, Tag
from redisom_lite.engine.embedded import start
from redisom_lite.transaction import Transaction

ROUNDS = 60
READERS = 200
WRITERS = 64
WRITES = 30


class Account(Model):
    """What is read and fought for."""

    id: Key[str]
    owner: Tag[str] = "ann"
    balance: Range[int] = 0
    note: str = ""


async def seconds(work: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    await work()
    return time.perf_counter() - begun


async def reads(raw: Any) -> None:
    """Compare concurrent reads by key."""
    names = [str(number) for number in range(READERS)]
    await Account.objects.save_many([Account(id=name, note=name * 10) for name in names])
    keys = [f"{{account}}:r:{name}" for name in names]

    async def ours() -> None:
        await asyncio.gather(*(Account.objects.get(name) for name in names))

    async def theirs() -> None:
        await asyncio.gather(*(raw.hgetall(key) for key in keys))

    took: dict[str, list[float]] = {"redis-py": [], "redisom_lite": []}
    for _ in range(ROUNDS):
        took["redis-py"].append(await seconds(theirs))
        took["redisom_lite"].append(await seconds(ours))
    medians = {who: statistics.median(times) for who, times in took.items()}
    print(f"{READERS} reads by key at once")
    for who, median in medians.items():
        print(f"  {who:14}{median * 1000:8.2f} ms {READERS / median:10,.0f} a second")
    print(f"  ratio {medians['redis-py'] / medians['redisom_lite']:.1f}")


async def hot_key(db: Database) -> None:
    """Measure how evenly transactions that want one record are served."""
    await Account(id="hot").save()
    took: list[float] = []
    runs = 0

    @db.atomic(retries=1000)
    async def add(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        account = await tx.get(Account, "hot")
        account.balance += 1
        tx.save(account)

    async def work() -> None:
        took.extend([await seconds(add) for _ in range(WRITES)])

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(WRITERS)))
    spent, done = time.perf_counter() - begun, WRITERS * WRITES
    assert (await Account.objects.get("hot")).balance == done
    median, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
    print(f"{done} transactions of {WRITERS} tasks on one record: {done / spent:,.0f} a second, {runs} runs")
    print(f"  median {median * 1000:.1f} ms  p99 {p99 * 1000:.1f} ms  ratio {p99 / median:.1f}")


async def main() -> None:
    with start() as server:
        raw = redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool.from_url(server.url, max_connections=16)
        )
        db = Database(server.url)
        db.bind(Account)
        async with db:
            await reads(raw)
            await hot_key(db)
        await raw.aclose()


if __name__ == "__main__":
    factory = importlib.import_module("uvloop").new_event_loop if "uvloop" in sys.argv else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
