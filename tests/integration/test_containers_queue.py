"""Queues: order, waiting, leases; nothing is lost when connections break or consumers are killed."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from redisom_lite import Database
from redisom_lite.containers import Counter, HashMap, Leaderboard, ListQueue, SetOf, Text
from redisom_lite.errors import ConstraintError
from tests import servers
from tests.faults.proxy import Proxy

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        yield opened


async def test_queue_both_ends(db: Database) -> None:
    jobs = ListQueue[int](db, "jobs")
    assert await jobs.push(1, 2, 3) == 3
    assert await jobs.push_front(0, -1) == 5
    assert [item async for item in jobs] == [-1, 0, 1, 2, 3]
    assert await jobs.pop() == -1
    assert await jobs.pop_back() == 3
    assert await jobs.len() == 3
    assert await jobs.get(0) == 0
    assert await jobs.get(-1) == 2
    assert await jobs.get(9) is None


@pytest.mark.parametrize("stop", [None, 0, 3, 9, -1, -9])
@pytest.mark.parametrize("start", [0, 2, 9, -2, -9])
async def test_queue_slices_and_trims_as_python_does(db: Database, start: int, stop: int | None) -> None:
    jobs = ListQueue[int](db, "jobs")
    await jobs.push(*range(6))
    assert await jobs.slice(start, stop) == list(range(6))[start:stop]
    await jobs.trim(start, stop)
    assert await jobs.slice() == list(range(6))[start:stop]


async def test_queue_insert_and_remove(db: Database) -> None:
    jobs = ListQueue(db, "jobs")
    await jobs.push("a", "b", "a", "c", "a")
    assert await jobs.insert("x", before="b")
    assert await jobs.insert("y", after="b")
    assert not await jobs.insert("z", after="nothing")
    assert await jobs.slice() == ["a", "x", "b", "y", "a", "c", "a"]
    assert await jobs.remove("a", last=1) == 1
    assert await jobs.remove("a", first=1) == 1
    assert await jobs.remove("a") == 1
    assert await jobs.slice() == ["x", "b", "y", "c"]
    with pytest.raises(ConstraintError):
        await jobs.insert("z")


async def test_pop_waits_for_an_item(db: Database) -> None:
    jobs = ListQueue[int](db, "jobs")
    waiting = [asyncio.create_task(jobs.pop(wait="40s")) for _ in range(3)]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await jobs.push(1, 2, 3)
    assert sorted(item or 0 for item in await asyncio.gather(*waiting)) == [1, 2, 3]
    assert time.monotonic() - began < 20  # not at the end of the wait


async def test_pop_gives_up_in_time(db: Database) -> None:
    began = time.monotonic()
    assert await ListQueue(db, "jobs").pop(wait="200ms") is None
    assert 0.19 < time.monotonic() - began < 20


async def test_pop_cancelled_while_waiting_takes_nothing(db: Database) -> None:
    jobs = ListQueue[int](db, "jobs")
    for _ in range(20):
        waiting = asyncio.create_task(jobs.pop(wait="5s"))
        await asyncio.sleep(0.005)
        push = asyncio.create_task(jobs.push(1))
        waiting.cancel()
        await push
        outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]
        assert outcome == 1 or await jobs.pop(wait="20s") == 1
        assert await jobs.len() == 0


async def test_take_leaves_the_item_until_done(db: Database) -> None:
    jobs = ListQueue[str](db, "jobs")
    await jobs.push("a", "b")
    job = await jobs.take(lease="30s")
    assert job is not None
    assert (job.item, job.attempt) == ("a", 1)
    assert (await jobs.len(), await jobs.leased()) == (1, 1)
    assert await job.done()
    assert not await job.done()
    assert (await jobs.len(), await jobs.leased()) == (1, 0)


async def test_take_hands_out_again_what_was_not_done_in_time(db: Database) -> None:
    jobs = ListQueue[str](db, "jobs")
    await jobs.push("a")
    began = time.monotonic()
    late = await jobs.take(lease="80ms")
    assert late is not None
    again = await jobs.take(lease="30s", wait="20s")
    assert time.monotonic() - began > 0.079
    assert again is not None
    assert (again.item, again.attempt) == ("a", 2)
    assert not await late.done()
    assert not await late.extend("1s")
    assert await again.done()
    assert not await jobs.exists()


async def test_lease_is_prolonged_and_given_back(db: Database) -> None:
    jobs = ListQueue[str](db, "jobs")
    await jobs.push("a")
    job = await jobs.take(lease="1s")
    assert job is not None
    assert await job.extend("30s")
    await asyncio.sleep(1.05)
    assert await jobs.take(lease="30s") is None
    assert await job.give_back()
    again = await jobs.take(lease="30s")
    assert again is not None
    assert again.attempt == 2
    began = time.monotonic()
    assert await again.give_back(delay="80ms")
    assert (await jobs.take(lease="30s", wait="20s")) is not None
    assert time.monotonic() - began > 0.079


# Connections that break


async def test_writes_take_effect_exactly_once_over_breaking_connections() -> None:
    server = servers.server("redis")
    servers.fresh_url("redis")
    chance = random.Random(3)
    async with Proxy(server.socket) as proxy, Database(proxy.url, timeout=60) as db:
        counter, board, jobs = Counter(db, "n"), Leaderboard[str](db, "b"), ListQueue[int](db, "jobs")
        stock, text, drawn = HashMap[str, int](db, "s"), Text(db, "t"), SetOf[int](db, "drawn")
        await drawn.add(*range(200))
        running = True

        async def breaking() -> None:
            while running:
                await asyncio.sleep(chance.uniform(0, 0.02))
                proxy.cut_after_replies = chance.randint(0, 200)

        breaker = asyncio.create_task(breaking())
        popped: list[int] = []
        for n in range(60):
            *_, member = await asyncio.gather(
                counter.incr(), board.incr("p"), stock.incr("x"), text.append("x"), jobs.push(n), drawn.pop()
            )
            assert member is not None
            popped.append(member)
        taken = [await jobs.pop() for _ in range(60)]
        running = False
        await breaker
        proxy.cut_after_replies = None
        assert await counter.get() == 60
        assert await board.score("p") == 60
        assert await stock.get("x") == 60
        assert await text.len() == 60
        assert len(set(popped)) == len(popped)
        assert await drawn.len() == 140
        assert taken == list(range(60))
        assert proxy.accepted > 10


# Consumers that are killed

CONSUMER = """
import asyncio, random, sys
from redisom_lite import Database
from redisom_lite.containers import HashMap, ListQueue

async def main():
    async with Database(sys.argv[1]) as db:
        jobs, seen = ListQueue[int](db, "jobs"), HashMap[int, int](db, "seen")
        while True:
            job = await jobs.take(lease="400ms", wait="1s")
            if job is not None:
                await seen.incr(job.item)
                await asyncio.sleep(random.uniform(0, float(sys.argv[2])))
                await job.done()

asyncio.run(main())
"""


def start_consumer(url: str, work: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CONSUMER, url, str(work)], cwd=ROOT)


async def work_off(url: str, count: int, *, work: float, kills: int) -> dict[int, int]:
    """Work off `count` jobs with 4 consumers; at `kills` moments by chance one of them is killed, and replaced."""
    chance = random.Random(11)
    moments = sorted(chance.sample(range(count // 50, count), kills))
    async with Database(url) as db:
        jobs, seen = ListQueue[int](db, "jobs"), HashMap[int, int](db, "seen")
        await jobs.push(*range(count))
        consumers = [start_consumer(url, work) for _ in range(4)]
        try:
            async with asyncio.timeout(60 + count / 40):
                while await jobs.exists():
                    await asyncio.sleep(0.005)
                    if moments and await jobs.len() <= moments[-1]:
                        moments.pop()
                        victim = chance.randrange(4)
                        consumers[victim].send_signal(signal.SIGKILL)
                        consumers[victim].wait()
                        consumers[victim] = start_consumer(url, work)
        finally:
            for consumer in consumers:
                consumer.kill()
                consumer.wait()
        assert not moments
        return await seen.items()


async def test_jobs_of_killed_consumers_are_each_done_at_least_once(real_url: str) -> None:
    seen = await work_off(real_url, 1_000, work=0.01, kills=8)
    assert sorted(seen) == list(range(1_000))
    assert min(seen.values()) >= 1


@pytest.mark.slow
async def test_10000_jobs_of_killed_consumers_are_each_done_at_least_once(real_url: str) -> None:
    seen = await work_off(real_url, 10_000, work=0.01, kills=40)
    assert sorted(seen) == list(range(10_000))
    assert min(seen.values()) >= 1
