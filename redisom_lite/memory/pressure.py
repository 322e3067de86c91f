"""Watching the server's memory while a block runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from inspect import isawaitable
from typing import TypeAlias

from redisom_lite.engine.background import beside
from redisom_lite.engine.store import Store
from redisom_lite.errors import BackendError, ConstraintError
from redisom_lite.memory.server import MemoryReport, report
from redisom_lite.memory.sizes import Size, byte_count
from redisom_lite.schema.lifetime import Lifetime, milliseconds

Callback: TypeAlias = Callable[[MemoryReport], Awaitable[object] | object]


class Monitor:
    """What a monitor has seen: `last` report, how often it `called`, and what it could not ask (`failure`)."""

    def __init__(self) -> None:
        self.last: MemoryReport | None = None
        self.called = 0
        self.failure: BackendError | None = None
        """Why the last look failed; None when it did not."""


def on_pressure(
    db: Store, threshold: float, callback: Callback, *, interval: Lifetime = 0.1, of: Size | None = None
) -> AbstractAsyncContextManager[Monitor]:
    """Call `callback(report)` whenever memory in use reaches `threshold`: `async with on_pressure(db, 0.8, relieve):`.

    `threshold` is a share of the server's limit (above 0, up to 1), or of the size `of` where the server has no limit
    of its own. Looked at every `interval` while the block runs; the callback, plain or async, runs to its end before
    the next look. A server that does not answer is asked again at the next look; what else the callback raises ends
    the block. Choose threshold and interval so that what is written between two looks fits above the threshold.
    Redis: INFO.

    Raises `ConstraintError` at once when there is no limit to be near to.
    """
    if not 0 < threshold <= 1:
        raise ConstraintError(
            "on_pressure() takes a threshold above 0 and up to 1: a share of the memory limit"
        )
    every = milliseconds(interval, "on_pressure(interval=...)") / 1000
    limit = None if of is None else byte_count(of, "on_pressure(of=...)")
    return _watching(db, threshold, callback, every, limit)


@asynccontextmanager
async def _watching(
    db: Store, threshold: float, callback: Callback, every: float, limit: int | None
) -> AsyncGenerator[Monitor]:
    monitor = Monitor()
    monitor.last = await report(db)
    if _share(monitor.last, limit) is None:
        raise ConstraintError(
            "the server has no memory limit: set_limit() it, or say on_pressure(..., of='1gb')"
        )
    async with beside(_watch(db, threshold, callback, every, limit, monitor)):
        yield monitor


async def _watch(
    db: Store, threshold: float, callback: Callback, every: float, limit: int | None, monitor: Monitor
) -> None:
    while True:
        try:
            monitor.last = seen = await report(db)
            share = _share(seen, limit)
            if share is not None and share >= threshold:
                monitor.called += 1
                done = callback(seen)
                if isawaitable(done):
                    await done
            monitor.failure = None
        except BackendError as error:
            monitor.failure = error
        await asyncio.sleep(every)


def _share(seen: MemoryReport, limit: int | None) -> float | None:
    return seen.pressure if limit is None else seen.used / max(1, limit)
