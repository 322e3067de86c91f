"""Work that goes on beside a block: it begins and ends with the block, and its failure ends the block too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


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
