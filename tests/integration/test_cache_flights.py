"""One load at a time: in a process, across processes, and when loaders are cancelled, killed or slow."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from redisom_lite import Database
from redisom_lite.cache import Cache
from redisom_lite.errors import DeclarationError
from tests.integration.cache_models import Loader

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        yield opened


@pytest.fixture
def cache(db: Database) -> Cache:
    return Cache(db, "flights", ttl="5m")


def other_process(cache: Cache, db: Database) -> Cache:
    """A cache that shares nothing with this one but the server."""
    return Cache(db, cache.prefix, ttl="5m")


async def test_callers_of_one_key_share_a_load(cache: Cache) -> None:
    load = Loader(["a"], after=0.05)
    answers = await asyncio.gather(*(cache.get_or_load("k", load) for _ in range(200)))
    assert answers == [["a"]] * 200
    assert len({id(answer) for answer in answers}) == 200
    assert load.runs == 1
    assert (await cache.stats()).misses == 200


async def test_callers_of_different_keys_do_not_wait_for_each_other(cache: Cache) -> None:
    slow, quick = Loader(1, after=5), Loader(2)
    waiting = asyncio.create_task(cache.get_or_load("slow", slow))
    await slow.begun.wait()
    assert await cache.get_or_load("quick", quick) == 2
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_cancelled_caller_takes_nothing_from_the_others(cache: Cache) -> None:
    load = Loader(1, after=0.1)
    callers = [asyncio.create_task(cache.get_or_load("k", load)) for _ in range(5)]
    await load.begun.wait()
    callers[0].cancel()
    callers[3].cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [answer for answer in answers if answer == 1] == [1, 1, 1]
    assert callers[0].cancelled()
    assert load.runs == 1


async def test_load_ends_with_its_last_caller(cache: Cache, db: Database) -> None:
    load = Loader(1, after=30)
    callers = [asyncio.create_task(cache.get_or_load("k", load)) for _ in range(3)]
    await load.begun.wait()
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1
    assert await db.redis.keys("*cache:l:*") == []
    load.after = 0
    async with asyncio.timeout(5):
        assert await cache.get_or_load("k", load) == 1


async def test_caller_who_comes_as_the_last_is_cancelled_gets_an_answer(cache: Cache) -> None:
    load = Loader(1, after=0.3)
    for turns in range(6):
        first = asyncio.create_task(cache.get_or_load(f"k{turns}", load))
        await load.begun.wait()
        load.begun.clear()
        first.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await cache.get_or_load(f"k{turns}", load) == 1
        assert (await asyncio.gather(first, return_exceptions=True))[0] != 1


async def test_caller_who_waits_for_an_earlier_load_can_be_cancelled(cache: Cache) -> None:
    load = Loader(1, after=30)
    first = asyncio.create_task(cache.get_or_load("k", load))
    await load.begun.wait()
    second = asyncio.create_task(cache.get_or_load("k", load))
    (flight,) = cache._loading._flights._here().values()
    while flight._waiting < 2:  # noqa: ASYNC110 - nobody else asks for it
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await second
    assert second.cancelled()
    assert len(asyncio.all_tasks()) == 1
    assert load.runs == 1


async def test_loader_that_asks_for_its_own_key_is_told(cache: Cache) -> None:
    async def load() -> int:
        return await cache.get_or_load("k", load) + 1

    async with asyncio.timeout(5):
        with pytest.raises(DeclarationError, match="wait for itself"):
            await cache.get_or_load("k", load)


async def test_loader_may_ask_for_other_keys(cache: Cache) -> None:
    async def load(n: int) -> int:
        return 0 if n == 0 else await cache.get_or_load(f"k{n - 1}", lambda: load(n - 1)) + 1

    assert await cache.get_or_load("k5", lambda: load(5)) == 5


async def test_failure_reaches_all_who_wait(cache: Cache) -> None:
    load = Loader(OSError("away"), after=0.05)
    answers = await asyncio.gather(*(cache.get_or_load("k", load) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError] * 5
    assert load.runs == 1


async def test_another_process_waits_for_the_load(cache: Cache, db: Database) -> None:
    load = Loader(1, after=0.2)
    here = asyncio.create_task(cache.get_or_load("k", load))
    await load.begun.wait()
    assert await other_process(cache, db).get_or_load("k", load) == 1
    assert await here == 1
    assert load.runs == 1


async def test_another_process_loads_when_the_load_fails(cache: Cache, db: Database) -> None:
    load = Loader(OSError("away"), after=0.1)
    here = asyncio.create_task(cache.get_or_load("k", load))
    await load.begun.wait()
    assert await other_process(cache, db).get_or_load("k", Loader(2)) == 2
    with pytest.raises(OSError, match="away"):
        await here


async def test_lock_is_kept_as_long_as_the_load_takes(db: Database) -> None:
    cache = Cache(db, "flights", ttl="5m", lock="1500ms")
    load = Loader(1, after=3.2)  # two lives of the lock
    other = Loader(2)
    here = asyncio.create_task(cache.get_or_load("k", load))
    await load.begun.wait()
    assert await other_process(cache, db).get_or_load("k", other) == 1
    assert (await here, load.runs, other.runs) == (1, 1, 0)


async def test_load_that_lost_its_lock_is_not_stored(cache: Cache, db: Database) -> None:
    load = Loader("late", after=None)
    here = asyncio.create_task(cache.get_or_load("k", load))
    await load.begun.wait()
    (lock,) = await db.redis.keys("*cache:l:*")
    await db.redis.set(lock, "another")
    load.leave.set()
    assert await here == "late"
    assert await cache.get("k") is None
    assert await db.redis.get(lock) == b"another"


async def test_loads_of_several_event_loops_do_not_meet(url: str) -> None:
    db = Database(url)
    cache = Cache(db, "loops", ttl="5m")

    def in_thread() -> int:
        async def run() -> int:
            async with db:
                return await cache.get_or_load("k", Loader(1, after=0.05))

        return asyncio.run(run())

    assert await asyncio.gather(*(asyncio.to_thread(in_thread) for _ in range(3))) == [1, 1, 1]


# Real processes

CALLERS = """
import asyncio, sys
from redisom_lite import Database
from redisom_lite.cache import Cache

async def main(url, callers, load_seconds):
    async with Database(url) as db:
        cache = Cache(db, "stampede", ttl="5m", lock=sys.argv[4])

        @cache(key="answer:{n}")
        async def answer(n: int) -> list[int]:
            await db.redis.incr("loads")
            print("loading", flush=True)
            await asyncio.sleep(load_seconds)
            return [n]

        print("ready", flush=True)
        sys.stdin.readline()
        answers = await asyncio.gather(*(answer(7) for _ in range(callers)))
        assert answers == [[7]] * callers, answers
        print("done", flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
"""


def start_callers(url: str, callers: int, load_seconds: float, lock: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CALLERS, url, str(callers), str(load_seconds), lock]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


async def test_stampede_of_200_tasks_in_4_processes_loads_once(real_url: str) -> None:
    processes = [start_callers(real_url, 50, 0.5, "10s") for _ in range(4)]
    for process in processes:
        until_ready(process)
    for process in processes:
        let_go(process)
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(output.count("loading") for output in outputs) == 1
    async with Database(real_url) as db:
        assert await db.redis.get("loads") == b"1"


async def test_killed_loader_blocks_others_for_the_life_of_its_lock(real_url: str) -> None:
    victim = start_callers(real_url, 1, 600, "3s")
    until_ready(victim)
    let_go(victim)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "loading\n"
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    async with Database(real_url) as db:
        (lock,) = await db.redis.keys("*cache:l:*")
        assert 0 < await db.redis.pttl(lock) <= 3000
        cache = Cache(db, "stampede", ttl="5m")
        load, began = Loader([1]), time.monotonic()
        async with asyncio.timeout(40):
            assert await cache.get_or_load("answer:7", load) == [1]
        assert load.runs == 1
        assert time.monotonic() - began < 30


DIGEST = """
import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from uuid import UUID
from pydantic import BaseModel
from redisom_lite import Database
from redisom_lite.cache import Cache

class Colour(Enum):
    RED = 1

class Filter(BaseModel):
    words: set[str]
    least: Decimal | None = None

cache = Cache(Database("memory://"), "digest", ttl=60)

@cache()
async def search(text, *more, limit=10, **filters):
    return []

words = {f"word{n}" for n in range(50)}
print(search.key_of("tea", 1, 1.5, None, True, b"x", Colour.RED, Filter(words=words), words, frozenset(words),
    {word: n for n, word in enumerate(sorted(words))}, date(2024, 2, 29), datetime(2024, 1, 1, tzinfo=timezone.utc),
    UUID(int=1), PurePosixPath("/a"), [1, (2, 3)], int, a=1, b=Decimal("1.50")))
"""


def test_digest_is_the_same_in_every_process() -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", DIGEST],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1", "random")
    ]
    keys = {process.communicate(timeout=60)[0] for process in started}
    assert len(keys) == 1
    assert "search:" in keys.pop()
