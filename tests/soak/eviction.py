"""Many writes to a small server that evicts: `python -m tests.soak.eviction [--writes 60000] [--memory 24mb]`.

The records of an evictable model, all with a lifetime, far more than fit; meanwhile queries of every kind. What a query
returns must be whole and as it was written, and satisfy its condition; none may raise. In the end `check(repair=True)`
makes every index say what is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from redisom_lite import Composite, Database, Key, Manager, Meta, Model, Range, Tag
from redisom_lite.engine import embedded
from redisom_lite.errors import OutOfMemoryError
from tests.servers import command

USERS = 40


class Visit(Model):
    objects = Manager(ttl="1h")
    meta = Meta(evictable=True, indexes=[Composite("user", "level")])

    id: Key[int]
    user: Tag[str]
    level: Range[int]
    path: Range[str]
    agent: str = ""


def visit(n: int) -> Visit:
    """The n-th, always the same."""
    return Visit(
        id=n, user=f"u{n % USERS}", level=n % 1000, path=f"/page/{n % 300}", agent=f"agent {n} " * 12
    )


@dataclass
class Outcome:
    """What happened."""

    written: int = 0
    refused: int = 0
    queries: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    evicted: int = 0
    left: int = 0
    found: int = 0
    after: int = 0
    seconds: float = 0


async def ask(rng: random.Random, outcome: Outcome, done: asyncio.Event) -> None:
    """Queries of every kind until the writing is done."""

    def whole(records: list[Visit], user: str) -> None:
        for each in records:
            assert each == visit(each.id), "a record is not as it was written"
            assert each.user == user, "a record does not satisfy the condition"
        outcome.seen += len(records)

    while not done.is_set():
        user, low = f"u{rng.randrange(USERS)}", rng.randrange(1000)
        mine = Visit.objects.find(Visit.user == user)
        kind = rng.choice(["page", "keys", "first", "count", "facets", "sum", "get", "text"])
        match kind:
            case "page":
                page = await mine.where(Visit.level >= low).order_by(Visit.level).page(size=20)
                whole(page.items, user)
            case "text":
                whole(await mine.order_by(Visit.path.desc()).limit(10), user)
            case "first":
                whole([found for found in [await mine.first()] if found], user)
            case "keys":
                pks = await mine.order_by(Visit.level).limit(50).pks()
                assert all(pk % USERS == int(user[1:]) for pk in pks)
            case "get":
                whole(
                    [found for found in await Visit.objects.get_many([low * USERS + int(user[1:])]) if found],
                    user,
                )
            case "count":
                await mine.where(Visit.level >= low).count()
            case "facets":
                await mine.facets(Visit.user)
            case _:
                await mine.sum(Visit.level)
        outcome.queries[kind] += 1
        await asyncio.sleep(0)


async def write(first: int, last: int, outcome: Outcome) -> None:
    """Records one by one; a server that has nothing left to evict may refuse one."""
    for n in range(first, last):
        try:
            await visit(n).save()
            outcome.written += 1
        except OutOfMemoryError:
            outcome.refused += 1


async def evictions(db: Database) -> int:
    """How many keys the server has evicted so far."""
    return int((await db.redis.info("stats"))["evicted_keys"])


async def run(db: Database, *, writes: int, seed: int = 1) -> Outcome:
    """Write and ask, then repair."""
    outcome, done, begun = Outcome(), asyncio.Event(), time.monotonic()
    rng = random.Random(seed)
    askers = [asyncio.create_task(ask(rng, outcome, done)) for _ in range(3)]
    part = writes // 8
    await asyncio.gather(*(write(n * part, (n + 1) * part, outcome) for n in range(8)))
    done.set()
    await asyncio.gather(*askers)
    for _ in range(20):
        before = await evictions(db)
        report = await Visit.objects.check(repair=True)
        outcome.found += report.missing + report.dangling + report.stale + report.orphaned
        again = await Visit.objects.check()
        outcome.after = again.missing + again.dangling + again.stale + again.orphaned
        outcome.left = await Visit.objects.find().count()
        loaded = len(await Visit.objects.find().all())
        outcome.evicted = await evictions(db)
        if outcome.evicted == before:  # else the full server evicted more while it was looked at
            assert outcome.left == again.checked == loaded
            break
    outcome.seconds = time.monotonic() - begun
    return outcome


async def main(binary: str | None, *, writes: int, limit: str) -> Outcome:
    """Run on a server of its own."""
    with embedded.start(binary=binary) as server:
        command(server.socket, f"CONFIG SET maxmemory {limit}")
        command(server.socket, "CONFIG SET maxmemory-policy volatile-lru")
        async with Database(server.url) as db:
            db.bind(Visit)
            outcome = await run(db, writes=writes)
    print(f"{server.name} {server.version}, {limit}, volatile-lru: {outcome}")
    return outcome


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--writes", type=int, default=60_000)
    parser.add_argument("--memory", default="24mb")
    parser.add_argument("--server", default=None, help="redis-server or valkey-server")
    options = parser.parse_args()
    ended = asyncio.run(main(options.server, writes=options.writes, limit=options.memory))
    sys.exit(ended.after > 0 or ended.evicted == 0)
