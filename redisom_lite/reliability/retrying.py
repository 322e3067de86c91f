"""Trying again, with pauses that grow and that no two callers share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from redisom_lite.errors import (
    BackendError,
    BackendTimeoutError,
    ConflictError,
    ConstraintError,
    LoadingError,
    UnavailableError,
)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Call a coroutine function until it succeeds, up to `attempts` times.

    The pause before attempt n is drawn from 0 to min(longest, first * 2**(n-2)) seconds ("full jitter"), so that
    callers that failed together do not come back together. Tried again is what `on` names; what may already have had
    its effect (outcome "unknown") only when the function is `idempotent`. Works as a decorator: `@Retry(attempts=3)`.
    Source: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """

    attempts: int = 5
    first: float = 0.05
    longest: float = 2.0
    on: tuple[type[Exception], ...] = (UnavailableError, BackendTimeoutError, LoadingError, ConflictError)
    idempotent: bool = False

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 <= self.first <= self.longest:
            raise ConstraintError("Retry takes attempts from 1 on, and pauses with 0 <= first <= longest")

    def __call__(self, work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(work)
        async def tried(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self.run(work, *args, **kwargs)

        return tried

    async def run(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `work` with these arguments; the last failure is raised as it came."""
        for pause in self.pauses():
            try:
                return await work(*args, **kwargs)
            except self.on as error:
                if isinstance(error, BackendError) and error.outcome == "unknown" and not self.idempotent:
                    raise
            await asyncio.sleep(pause)
        return await work(*args, **kwargs)

    def pauses(self) -> Iterator[float]:
        """The pauses, in seconds, between the attempts: one fewer than there are."""
        for n in range(self.attempts - 1):
            yield random.uniform(0, min(self.longest, self.first * 2.0 ** min(n, 60)))
