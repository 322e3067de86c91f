"""Removing the oldest records, and keeping below the limit while others write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from redisom_lite import Composite, Database, Field, Key, Meta, Model, Range, Tag, memory, new_id
from redisom_lite.engine import embedded
from redisom_lite.errors import ConstraintError, OutOfMemoryError


class Event(Model):
    meta = Meta(prefix="trim-event", indexes=[Composite("kind", "n")])
    id: Key[str] = Field(default_factory=new_id)
    kind: Tag[str] = Field(default="k")
    n: Range[int] = 0
    text: str = ""


@pytest.fixture
def server() -> Iterator[embedded.EmbeddedServer]:
    with embedded.start() as started:
        yield started


@pytest.fixture
async def db(server: embedded.EmbeddedServer) -> AsyncIterator[Database]:
    async with Database(server.url) as opened:
        opened.bind(Event)
        yield opened


@pytest.fixture
async def anywhere(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        opened.bind(Event)
        yield opened


async def fill(count: int) -> None:
    await Event.objects.save_many([Event(id=f"{i:04}", kind=f"k{i % 3}", n=i % 10) for i in range(count)])


async def test_trim_to_a_count_removes_soonest_deadlines_then_lowest_keys(anywhere: Database) -> None:
    await fill(20)
    for pk, ttl in (("0015", "2h"), ("0012", "1h")):
        await (await Event.objects.get(pk)).expire(ttl)
    assert await memory.trim(Event, to=19) == 1
    assert not await Event.objects.exists("0012")
    assert await memory.trim(Event, to=16) == 3
    assert await Event.objects.find().limit(2).pks() == ["0002", "0003"]
    assert not await Event.objects.exists("0015")
    assert (await Event.objects.check()).ok


async def test_trim_of_a_query_follows_its_order_and_spares_the_rest(anywhere: Database) -> None:
    await fill(20)
    query = Event.objects.find(Event.kind == "k0").order_by(Event.n.desc())
    assert await memory.trim(query, to=2) == 5
    assert [event.n for event in await query] == [2, 0]
    assert await Event.objects.find().count() == 15
    assert (await Event.objects.check()).ok


async def test_trim_below_the_target_removes_nothing(anywhere: Database) -> None:
    await fill(5)
    assert await memory.trim(Event, to=5) == 0


async def test_trim_of_a_limited_query_is_refused(anywhere: Database) -> None:
    with pytest.raises(ConstraintError, match="leave limit and offset out"):
        await memory.trim(Event.objects.find().limit(3), to=1)


async def test_trim_reports_progress(anywhere: Database) -> None:
    await fill(10)
    seen: list[tuple[int, int | None]] = []
    await memory.trim(Event, to=4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(6, 6)]


async def test_trim_to_bytes_leaves_about_that_much(db: Database) -> None:
    await Event.objects.save_many([Event(n=i, text="x" * 300) for i in range(4000)])
    assert await memory.trim(Event, to="1mb") > 1000
    left = await memory.usage(Event)
    assert 0.7 < left.bytes / (1 << 20) <= 1.1
    assert (await Event.objects.check()).ok


async def test_budgets_trim_what_exceeds_its_own(db: Database) -> None:
    await fill(50)
    assert await memory.keep_within({Event: 30}) == {Event: 20}


async def test_trim_works_on_a_full_server(db: Database) -> None:
    await Event.objects.save_many([Event(n=i, text="x" * 300) for i in range(4000)])
    await memory.set_limit(db, (await memory.report(db)).used - (1 << 20))
    with pytest.raises(OutOfMemoryError):
        await Event().save()
    assert await memory.trim(Event, to=1000) == 3000
    await Event().save()
    assert (await Event.objects.check()).ok


async def test_monitor_calls_while_the_block_runs_and_not_after(db: Database) -> None:
    seen: list[memory.MemoryReport] = []
    async with memory.on_pressure(db, 0.5, seen.append, interval="5ms", of=1000) as monitor:
        async with asyncio.timeout(20):
            while len(seen) < 3:  # noqa: ASYNC110 - the callback's work
                await asyncio.sleep(0.01)
    calls = len(seen)
    assert calls == monitor.called > 1
    await asyncio.sleep(0.03)
    assert len(seen) == calls


async def test_monitor_without_any_limit_is_refused(db: Database) -> None:
    with pytest.raises(ConstraintError, match="no memory limit"):
        async with memory.on_pressure(db, 0.5, print):
            pass


async def test_what_the_callback_raises_ends_the_block(db: Database) -> None:
    def fail(_: memory.MemoryReport) -> None:
        raise KeyError("of the callback")

    with pytest.raises(KeyError, match="of the callback"):
        async with memory.on_pressure(db, 0.5, fail, interval="5ms", of=1000):
            await asyncio.sleep(10)


async def test_errors_of_the_block_come_out_as_they_are(db: Database) -> None:
    with pytest.raises(KeyError, match="of the block"):
        async with memory.on_pressure(db, 0.5, print, of="1tb"):
            raise KeyError("of the block")


async def write_under_limit(db: Database, limit: str, seconds: float) -> tuple[int, int]:
    """Write as fast as possible, at least until memory was relieved twice; how many records, and how often it was."""
    await memory.set_limit(db, limit)
    written = relieved = 0
    until = time.monotonic() + seconds

    async def writer() -> None:
        nonlocal written
        while time.monotonic() < until or relieved < 2:
            await Event(n=written, text="x" * 500).save()
            written += 1

    async def relieve(seen: memory.MemoryReport) -> None:
        nonlocal relieved
        count = await Event.objects.find().count()
        await memory.trim(Event, to=count * 3 // 4)
        relieved += 1

    async with asyncio.timeout(600), memory.on_pressure(db, 0.8, relieve, interval="20ms") as monitor:
        await asyncio.gather(*(writer() for _ in range(32)))
    assert (await Event.objects.check()).ok
    return written, monitor.called


async def test_writers_under_a_small_limit_never_see_out_of_memory(db: Database) -> None:
    written, called = await write_under_limit(db, "12mb", 4)
    assert written > 1_000
    assert called > 1


@pytest.mark.slow
async def test_writers_under_32_mb_never_see_out_of_memory(db: Database) -> None:
    written, called = await write_under_limit(db, "32mb", 30)
    assert written > 60_000
    assert called > 2
