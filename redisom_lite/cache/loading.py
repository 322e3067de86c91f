"""How one answer is found: in the cache, or by a load that no other process makes at the same time.

    look      read the entry; if it is fresh and nothing it depends on has changed, that is the answer
    fly       else take part in the one load of this process (flights.py)
    lock      which takes the lock that all processes share, or waits until another has stored
    watch     then notes what the answer depends on, before it is loaded: what changes meanwhile outdates it
    load      runs the loader, keeping the lock as long as that takes
    store     and stores, if the lock is still its own: a key invalidated meanwhile has lost it

Nobody gets an answer older than the call: whoever comes upon a load that began before looks again when it has ended.
While the server is away, loaders run without the cache.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from inspect import isawaitable
from typing import Any, Final

from redisom_lite.cache.dependencies import Place, watch
from redisom_lite.cache.entries import NOT_FOUND, VALUE, Entries, Seen
from redisom_lite.cache.flights import Flight, Flights
from redisom_lite.cache.request import Answer, Policy, Request, not_found
from redisom_lite.cache.statistics import Counts
from redisom_lite.engine.background import beside
from redisom_lite.engine.node import Arg
from redisom_lite.engine.store import Backend
from redisom_lite.errors import (
    BackendError,
    BackendTimeoutError,
    DeclarationError,
    DecodeError,
    LoadingError,
    NotFoundError,
    OutOfMemoryError,
    ReadOnlyError,
    UnavailableError,
)

AWAY: Final = (UnavailableError, BackendTimeoutError, LoadingError, OutOfMemoryError, ReadOnlyError)
"""What a cache cannot help: its loaders run without it."""
Where = tuple[Backend, str]

_loading: ContextVar[frozenset[int]] = ContextVar("redisom_lite_cache_loading", default=frozenset())
"""The numbers of the loads that the running code is part of."""
_FIRST_LOOK: Final = 0.01
_LONGEST_LOOK: Final = 0.25


@dataclass(frozen=True, slots=True)
class Look:
    """What a caller saw, and the value of a fresh entry."""

    seen: Seen
    value: Any = None

    @property
    def fresh(self) -> bool:
        return self.seen.fresh

    @property
    def not_found(self) -> bool:
        return self.seen.entry is not None and self.seen.entry.kind == NOT_FOUND


class Loading:
    """The loads of one cache."""

    def __init__(self, entries: Entries, counts: Counts) -> None:
        self._entries = entries
        self._counts = counts
        self._flights: Flights[Answer | None] = Flights()

    async def answer(self, request: Request) -> Any:
        """The answer to a request; what its loader raises, unless an older answer may stand in."""
        came = self._flights.now()
        where = (self._entries.store.backend, request.key)
        while True:
            look = await self.look(request)
            flight = self._flights.get(where)
            if look is not None and look.fresh:
                if flight is not None or not _is_early(look.seen, request.policy):
                    return self.hit(look)
                flight = self._begin(where, request, look.seen, early=True)
                return await self._early(request, look, flight)
            if flight is not None and flight.number in _loading.get():
                raise DeclarationError("a loader asks for the key that it loads: it would wait for itself")
            if flight is not None and flight.number < came:
                await flight.ended()  # it may have read before the latest write
                continue
            if flight is None:
                flight = self._begin(where, request, None if look is None else look.seen)
            brought = await flight.landed()
            if brought is not None:
                self._counts.add("stale" if brought.stale else "misses")
                return request.value_of(brought)

    async def _early(self, request: Request, look: Look, flight: Flight[Answer | None]) -> Any:
        """What an early load brings; the answer there is, when another process loads or the loader fails."""
        try:
            brought = await flight.landed()
        except Exception:
            return self.hit(look)
        if brought is None:
            return self.hit(look)
        self._counts.add("early")
        self._counts.add("hits")
        return request.value_of(brought)

    def hit(self, look: Look) -> Any:
        """Count a hit; its value, or the `NotFoundError` that was remembered."""
        self._counts.add("hits")
        self._counts.add("age", look.seen.age)
        if look.not_found:
            raise not_found()
        return look.value

    async def look(self, request: Request) -> Look | None:
        """As `peek`, judged by what the request depends on. None: the server is away."""
        try:
            return await self.peek(request, request.places)
        except AWAY:
            return None

    async def peek(self, request: Request, found: Mapping[bytes, Place]) -> Look:
        """The entry and its value; one of another type than declared is like none."""
        seen = await self._entries.read(request.key, found)
        entry = seen.entry
        if entry is None or not seen.fresh or entry.kind != VALUE:
            return Look(seen)
        try:
            return Look(seen, request.values.decode(entry.text, b""))
        except DecodeError:
            return Look(replace(seen, untouched=False, valid=False))

    def _begin(
        self, where: Where, request: Request, seen: Seen | None, *, early: bool = False
    ) -> Flight[Answer | None]:
        number = self._flights.now()
        before = _loading.set(_loading.get() | {number})  # as the load's task will see it
        try:
            return self._flights.begin(where, number, self._fly(request, seen, early=early))
        finally:
            _loading.reset(before)

    # In flight.

    async def _fly(self, request: Request, seen: Seen | None, *, early: bool) -> Answer | None:
        """Load, or wait for who does; None: `early`, and another does already."""
        if seen is None:
            return await self._uncached(request)
        token = self._entries.token()
        try:
            try:
                locked = await self._lock(request, token, seen, early=early)
            except AWAY:
                return await self._uncached(request)
            if not isinstance(locked, _Locked):
                return locked
            return await self._load(request, token, locked)
        except BaseException:
            await self._give_back(request, token)
            raise

    async def _lock(
        self, request: Request, token: bytes, seen: Seen, *, early: bool
    ) -> _Locked | Answer | None:
        lock_ms, whole_ms = request.policy.lock, request.policy.lifetimes(VALUE).whole
        pause = _FIRST_LOOK
        while True:
            known = b"" if seen.entry is None else seen.entry.id
            locked = await self._entries.lock(request.key, token, lock_ms, request.tags, whole_ms)
            if not isinstance(locked, int):
                entry_id, marks = locked
                again = seen if entry_id == known else await self._seen(request)
                if again is seen or not again.fresh:
                    return _Locked(marks, again)
                await self._entries.keep(request.key, token, 0)
                return _answer_in(again)
            if early:
                return None
            await asyncio.sleep(min(locked / 1000 + 0.001, random.uniform(pause / 2, pause)))
            pause = min(2 * pause, _LONGEST_LOOK)
            seen = await self._seen(request)
            if seen.fresh:
                return _answer_in(seen)

    async def _seen(self, request: Request) -> Seen:
        look = await self.look(request)
        if look is None:
            raise UnavailableError("the cache's server has gone away")
        return look.seen

    async def _load(self, request: Request, token: bytes, locked: _Locked) -> Answer:
        marks = dict(locked.marks)
        began = time.perf_counter()
        try:
            async with beside(self._keep(request, token)):
                try:
                    found = request.places.values()
                    marks |= await watch(found, token, request.policy.longest)
                except AWAY:
                    marks.clear()
                began = time.perf_counter()
                value = await self._run(request)
        except DeclarationError:
            raise
        except NotFoundError:
            if request.policy.negative is None:
                raise
            answer = Answer(NOT_FOUND)
        except Exception:
            standing_in = _stand_in(request, locked.seen)
            if standing_in is None:
                raise
            await self._give_back(request, token)
            return standing_in
        else:
            answer = request.answer_of(value)
        took_ms = math.ceil((time.perf_counter() - began) * 1000)
        self._counts.add("load_ms", took_ms)
        if marks:
            await self._store(request, token, answer, marks, took_ms)
        else:
            self._counts.add("bypassed")
            await self._give_back(request, token)
        return answer

    async def _give_back(self, request: Request, token: bytes) -> None:
        """Give the lock back; should that fail, its lifetime ends."""
        with suppress(BackendError):
            await self._entries.keep(request.key, token, 0)

    async def set(self, request: Request, value: Any) -> None:
        """Store a value that nobody was asked for."""
        token, answer = self._entries.token(), request.answer_of(value)
        marks = await watch(request.places.values(), token, request.policy.longest)
        await self._send(request, b"", _fields(request, token, answer, marks, 0), answer, {})

    async def _store(
        self, request: Request, token: bytes, answer: Answer, marks: Mapping[bytes, bytes], took_ms: int
    ) -> None:
        counts = self._counts.take()
        stored = False
        try:
            with suppress(*AWAY):
                fields = _fields(request, token, answer, marks, took_ms)
                stored = await self._send(request, token, fields, answer, counts)
        finally:
            if not stored:
                self._counts.put_back(counts)

    async def _send(
        self,
        request: Request,
        owner: bytes,
        fields: Mapping[bytes, Arg],
        answer: Answer,
        counts: Mapping[bytes, int],
    ) -> bool:
        lifetimes = request.policy.lifetimes(answer.kind)
        return await self._entries.store_entry(request.key, owner, fields, lifetimes, request.tags, counts)

    async def _run(self, request: Request) -> Any:
        self._counts.add("loads")
        awaitable = request.loader()
        if not isawaitable(awaitable):
            raise DeclarationError(
                "a loader is an async function without arguments, as in lambda: load(text)"
            )
        try:
            return await awaitable
        except Exception as error:
            if not isinstance(error, NotFoundError) or request.policy.negative is None:
                self._counts.add("errors")
            raise

    async def _uncached(self, request: Request) -> Answer:
        self._counts.add("bypassed")
        return request.answer_of(await self._run(request))

    async def _keep(self, request: Request, token: bytes) -> None:
        """Keep the lock while the loader runs."""
        while True:
            await asyncio.sleep(request.policy.lock / 3000)
            with suppress(*AWAY):
                await self._entries.keep(request.key, token, request.policy.lock)


@dataclass(frozen=True, slots=True)
class _Locked:
    """The lock is ours: the marks of the tags, and the entry there was."""

    marks: dict[bytes, bytes]
    seen: Seen


def _is_early(seen: Seen, policy: Policy) -> bool:
    """Whether to load anew before the end (XFetch: Vattani, Chierichetti, Lowenstein, VLDB 2015).

    The longer a load takes and the nearer the end, the likelier; among many callers about one does.
    """
    entry = seen.entry
    if entry is None or not policy.early:
        return False
    return seen.now - entry.took * policy.early * math.log(1 - random.random()) >= entry.until


def _fields(
    request: Request, token: bytes, answer: Answer, marks: Mapping[bytes, bytes], took_ms: int
) -> dict[bytes, Arg]:
    """An entry as it is stored."""
    ttl = request.policy.lifetimes(answer.kind).fresh
    return {
        b"id": token,
        b"kind": answer.kind,
        b"text": answer.text,
        b"ttl": ttl,
        b"took": took_ms,
        **marks,
    }


def _answer_in(seen: Seen) -> Answer:
    assert seen.entry is not None
    return Answer(seen.entry.kind, seen.entry.text)


def _stand_in(request: Request, seen: Seen) -> Answer | None:
    """An answer whose lifetime has ended, or that a write has outdated, if it may stand in for a failed load."""
    entry = seen.entry
    if entry is None or not request.policy.grace or not seen.untouched or entry.kind != VALUE:
        return None
    try:
        request.values.decode(entry.text, b"")
    except DecodeError:
        return None
    return Answer(entry.kind, entry.text, stale=True)
