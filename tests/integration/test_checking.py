"""`check()` finds what other hands did to hashes and indexes; `check(repair=True)` mends it while others write."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from redisom_lite import Composite, Database, Field, Key, Manager, Meta, Model, Range, Tag, Unique
from redisom_lite.checking import Example
from tests import oracle


class Jar(Model):
    objects = Manager()
    brief = Manager(ttl="1h")
    meta = Meta(prefix="jar", indexes=[Composite("kind", "size")])

    id: Key[str]
    kind: Tag[str | None] = Field(default=None)
    labels: Tag[set[str]] = Field(default_factory=set)
    size: Range[int | None] = Field(default=None)
    name: Range[str] = Field(default="")
    code: Unique[str | None] = Field(default=None)


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        database.bind(Jar)
        await Jar.objects.save_many(
            [
                Jar(id=f"j{n}", kind="ab"[n % 2], labels={"x", f"l{n}"}, size=n, name=f"n{n}", code=f"c{n}")
                for n in range(30)
            ]
        )
        await Jar.brief.create(id="ends", kind="c", size=2**60 + 1)
        yield database
        await oracle.check(database, Jar)


Damage = Callable[[Any], Awaitable[object]]

DAMAGES: dict[str, tuple[Damage, dict[str, int]]] = {
    "record deleted": (lambda r: r.delete("{jar}:r:j3"), {"dangling": 8}),
    "tag entry taken": (lambda r: r.srem("{jar}:t:kind:a", "j4"), {"missing": 1}),
    "tag entry added": (lambda r: r.sadd("{jar}:t:kind:a", "j5"), {"stale": 1}),
    "tag entry of nobody": (lambda r: r.sadd("{jar}:t:kind:zz", "nobody"), {"dangling": 1}),
    "score changed": (lambda r: r.zadd("{jar}:i:size", {"j6": 77}), {"stale": 1, "missing": 1}),
    "score taken": (lambda r: r.zrem("{jar}:i:size", "j6"), {"missing": 2}),
    "exact value taken": (lambda r: r.delete("{jar}:x:size"), {"stale": 1}),
    "text entry taken": (lambda r: r.zrem("{jar}:i:name", b"n7\0\0j7"), {"missing": 1}),
    "text entry added": (lambda r: r.zadd("{jar}:i:name", {b"other\0\0j7": 0}), {"stale": 1}),
    "unique taken": (lambda r: r.hdel("{jar}:u:code", "c8"), {"missing": 1}),
    "unique of nobody": (lambda r: r.hset("{jar}:u:code", "c99", "nobody"), {"dangling": 1}),
    "composite taken": (lambda r: r.zrem("{jar}:c:kind:size:a", "j2"), {"missing": 1}),
    "composite entry added": (lambda r: r.zadd("{jar}:c:kind:size:z", {"j2": 2}), {"stale": 1}),
    "composite entry of an empty tag": (lambda r: r.zadd("{jar}:c:kind:size:", {"j2": 2}), {"stale": 1}),
    "composite score changed": (lambda r: r.zadd("{jar}:c:kind:size:a", {"j2": 5}), {"missing": 1}),
    "registry entry taken": (lambda r: r.zrem("{jar}:k", "j9"), {"missing": 1}),
    "deadline taken": (lambda r: r.zrem("{jar}:due", "ends"), {"missing": 1}),
    "deadline of a lasting one": (lambda r: r.zadd("{jar}:due", {"j1": 10**14}), {"stale": 1, "missing": 1}),
    "memo taken": (lambda r: r.hdel("{jar}:memo", "ends"), {"missing": 1}),
    "expiry set by hand": (lambda r: r.expire("{jar}:r:j10", 5000), {"missing": 1}),
    "field changed by hand": (lambda r: r.hset("{jar}:r:j11", "kind", "z"), {"missing": 1, "stale": 1}),
    "record written by hand": (lambda r: r.hset("{jar}:r:new", mapping={"id": "new"}), {"orphaned": 1}),
    "key of no index": (lambda r: r.sadd("{jar}:t:colour:red", "j1"), {"orphaned": 1}),
    "listing taken": (lambda r: r.hdel("{jar}:v:kind", "a"), {"missing": 15}),
    "listing of nothing": (lambda r: r.hset("{jar}:v:kind", "q", "q"), {"dangling": 1}),
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_damage_is_found_for_what_it_is_and_mended(db: Database, what: str) -> None:
    assert (await Jar.objects.check()).ok
    damage, expected = DAMAGES[what]
    await damage(db.redis)
    report = await Jar.objects.check()
    found = {kind: getattr(report, kind) for kind in ("missing", "dangling", "stale", "orphaned")}
    assert {kind: count for kind, count in found.items() if count} == expected, report.examples
    assert not report.ok
    assert not report.repaired
    assert report.examples
    assert all(isinstance(example, Example) and example.kind in expected for example in report.examples)
    assert (await Jar.objects.check(repair=True)).repaired
    after = await Jar.objects.check()
    assert after.ok, after.examples
    assert after.checked == await Jar.objects.find().count() == len(await db.redis.keys("{jar}:r:*"))


async def test_check_tells_how_far_it_is(db: Database) -> None:
    seen: list[tuple[int, int | None]] = []
    report = await Jar.objects.check(progress=lambda done, total: seen.append((done, total)))
    assert report.checked == 31
    assert seen[-1] == (31, 31)


async def test_examples_are_few_and_counts_are_whole(db: Database) -> None:
    await db.redis.delete("{jar}:i:name")
    report = await Jar.objects.check()
    assert (report.missing, len(report.examples)) == (31, 20)
    assert report.examples[0].index == "name"
    await Jar.objects.check(repair=True)


async def test_repair_is_safe_while_others_write(db: Database) -> None:
    done, rng = asyncio.Event(), random.Random(5)

    async def write(first: int) -> None:
        while not done.is_set():
            n = first + 4 * rng.randrange(20)
            if rng.random() < 0.2:
                await Jar.objects.delete(f"w{n}")
            else:
                await Jar(
                    id=f"w{n}", kind=rng.choice("ab"), size=rng.randrange(9), name="w", code=f"w{n}"
                ).save()
            await asyncio.sleep(0)

    async def damage() -> None:
        while not done.is_set():
            n = rng.randrange(30)
            await db.redis.srem("{jar}:t:kind:a", f"j{n}")
            await db.redis.zadd("{jar}:i:size", {f"j{n}": 500})
            await asyncio.sleep(0.005)

    busy = [asyncio.create_task(write(n)) for n in range(4)] + [asyncio.create_task(damage())]
    try:
        for _ in range(6):
            await Jar.objects.check(repair=True)
            await asyncio.sleep(0)
    finally:
        done.set()
        await asyncio.gather(*busy)
    await Jar.objects.check(repair=True)
    assert (await Jar.objects.check()).ok
    assert await Jar.objects.find(Jar.size >= 0).count() == await Jar.objects.find().count()
