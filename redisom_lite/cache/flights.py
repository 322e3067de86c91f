"""One load at a time in a process: callers of one key share a task, which lives as long as one of them waits for it.

A caller who is cancelled takes nothing from the others; with the last one goes the load, and is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from itertools import count
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_numbers = count(1)


class Flight(Generic[T]):
    """A load under way; `number` tells which of two began first."""

    def __init__(self, number: int, load: Coroutine[Any, Any, T], over: Callable[[Flight[T]], None]) -> None:
        self.number = number
        self._over = over
        self._waiting = 0
        self._task = asyncio.get_running_loop().create_task(load)
        self._task.add_done_callback(lambda _: over(self))

    async def landed(self) -> T:
        """What it brings; what it raises."""
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            await self._leave()

    async def ended(self) -> None:
        """Wait for its end, however it ends."""
        self._waiting += 1
        try:
            await asyncio.wait([self._task])
        finally:
            await self._leave()

    async def _leave(self) -> None:
        self._waiting -= 1
        if not self._waiting and not self._task.done():
            self._over(self)
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.exception()  # nobody else will ask


class Flights(Generic[T]):
    """The loads under way in the running event loop, by key."""

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Flight[T]]] = (
            WeakKeyDictionary()
        )

    def now(self) -> int:
        """A number between those of the flights that have begun and those that will."""
        return next(_numbers)

    def _here(self) -> dict[Hashable, Flight[T]]:
        return self._loops.setdefault(asyncio.get_running_loop(), {})

    def get(self, key: Hashable) -> Flight[T] | None:
        """The load of this key under way."""
        return self._here().get(key)

    def begin(self, key: Hashable, number: int, load: Coroutine[Any, Any, T]) -> Flight[T]:
        """Begin to load, under a number of `now`; nobody else may be at it."""
        flights = self._here()

        def over(flight: Flight[T]) -> None:
            if flights.get(key) is flight:
                del flights[key]

        flights[key] = flight = Flight(number, load, over)
        return flight
