"""Work that goes on beside a block, and works that go on beside each other: none outlives who asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run `work` until the block ends. What it raises cancels the block and is raised in its place."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            yield
            task.cancel()
    except BaseExceptionGroup as failed:
        # one of the two failed and the other was cancelled for it: the group around it says nothing more
        raise failed.exceptions[0] from failed.exceptions[0].__cause__


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of it at once; the first failure is raised when every work has ended."""
    done = await asyncio.gather(*works, return_exceptions=True)
    results: list[T] = []
    for each in done:
        if isinstance(each, BaseException):
            raise each
        results.append(each)
    return results
