"""A list of typed items: a queue, a stack, and a queue of jobs that survives its workers.

Two ways to take an item. `pop` removes it: exactly once, whatever happens to the connection, and gone if the program
dies with it. `take` leases it: it stays on the server until acknowledged, and comes up again when the lease has ended,
so that every item is worked on at least once.

    waiting  ── pop ──>  gone
    waiting  ── take ──>  leased  ── done ──>  gone
                             └── the lease ends ──>  the next take

Keys: the list; `...:jobs`, a hash of leased items; `...:leases`, when each lease ends. The server's clock decides.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Literal

from typing_extensions import TypeVar

from redisom_lite.containers.once import TOKENS
from redisom_lite.containers.structure import CHUNK, Structure, Word, chunks
from redisom_lite.errors import BackendTimeoutError, ConstraintError, UnavailableError
from redisom_lite.schema.lifetime import Lifetime, milliseconds

if TYPE_CHECKING:
    R = TypeVar("R")

T = TypeVar("T", default=str)

_LOOK_AGAIN: Final = 1.0
"""Seconds after which a waiting call looks again: for jobs given back, and lists that another program replaced."""
_POLL: Final = 0.02


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A leased item. `attempt` counts from 1 how often it was handed out."""

    item: T
    id: str
    attempt: int
    _queue: ListQueue[T] = field(repr=False)

    async def done(self) -> bool:
        """Acknowledge: the item is gone for good. False: the lease had ended, and another may work on it by now.

        Redis: HDEL, ZREM in one step.
        """
        return await self._queue.settle(self, b"")

    async def extend(self, lease: Lifetime) -> bool:
        """Let the lease end this from now. False: it had ended. Redis: ZADD."""
        return await self._queue.settle(self, b"%d" % milliseconds(lease, "a lease"))

    async def give_back(self, *, delay: Lifetime | None = None) -> bool:
        """Let another take it at once, or after `delay`. False: the lease had ended. Redis: ZADD."""
        ms = 0 if delay is None else milliseconds(delay, "a delay")
        return await self._queue.settle(self, b"%d" % ms)


class ListQueue(Structure, Generic[T]):
    """A list on the server: `ListQueue[Order](db, "orders")`; of `str` without brackets. First in, first out.

    Positions count from 0 at the head; those below zero count from the tail.
    """

    kind = b"list"
    companions = (b":jobs", b":leases")
    parameters = 1
    types = (str,)

    async def push(self, *items: T) -> int:
        """Add items at the tail, exactly once; how many are waiting. Redis: RPUSH."""
        return await self._push(b"RPUSH", items)

    async def push_front(self, *items: T) -> int:
        """Add items at the head, the last of them foremost, exactly once; how many are waiting. Redis: LPUSH."""
        return await self._push(b"LPUSH", items)

    async def pop(self, *, wait: Lifetime | None = None) -> T | None:
        """Remove the item at the head and return it, exactly once. None: there is none.

        `wait` lets it wait this long for one, on a connection of its own. Redis: LPOP; to wait, BLMOVE of the list to
        itself, which takes nothing out that a lost connection could lose.
        """
        return await self._waiting(lambda: self._pop(b"LPOP"), wait)

    async def pop_back(self, *, wait: Lifetime | None = None) -> T | None:
        """Remove the item at the tail and return it, exactly once. As `pop`. Redis: RPOP."""
        return await self._waiting(lambda: self._pop(b"RPOP"), wait)

    async def take(self, *, lease: Lifetime, wait: Lifetime | None = None) -> Job[T] | None:
        """Lease the item at the head, or one whose lease has ended; None: there is none.

        Acknowledge with `await job.done()` within the lease: until then the item is on the server. `wait` as in `pop`.
        Redis: ZRANGE, LPOP, HSET, ZADD in one step.
        """
        ms = milliseconds(lease, "take(lease=...)")
        return await self._waiting(lambda: self._take(ms), wait)

    async def leased(self) -> int:
        """How many items are leased, ended leases included. Redis: ZCARD."""
        (count,) = await self._read((b"ZCARD", self._own[2]))
        return int(count)

    async def len(self) -> int:
        """How many items are waiting, leased ones not counted. Redis: LLEN."""
        (count,) = await self._read((b"LLEN", self._place.key))
        return int(count)

    async def get(self, position: int) -> T | None:
        """The item at a position, None if there is none. Redis: LINDEX."""
        (text,) = await self._read((b"LINDEX", self._place.key, position))
        return None if text is None else self._item(text)

    async def slice(self, start: int = 0, stop: int | None = None) -> list[T]:
        """What `items[start:stop]` is in Python. Redis: LRANGE."""
        if stop == 0:
            return []
        last = -1 if stop is None else stop - 1
        (found,) = await self._read((b"LRANGE", self._place.key, start, last))
        return [self._item(text) for text in found]

    async def trim(self, start: int = 0, stop: int | None = None) -> None:
        """Keep only `items[start:stop]`. Redis: LTRIM; UNLINK when nothing is kept."""
        if stop == 0:
            await self._write((b"UNLINK", self._place.key))
            return
        await self._write((b"LTRIM", self._place.key, start, -1 if stop is None else stop - 1))

    async def insert(self, item: T, *, before: T | None = None, after: T | None = None) -> bool:
        """Put an item before, or after, the first one that equals the other; False if there is none. Redis: LINSERT."""
        if (before is None) == (after is None):
            raise ConstraintError(f"{self._place.name}: insert() takes one of before and after")
        side, pivot = (b"BEFORE", before) if after is None else (b"AFTER", after)
        words: tuple[Any, ...] = (
            b"LINSERT",
            self._place.key,
            side,
            self._values().encode(pivot),
            self._text(item),
        )
        (size,) = await self._write(words)
        return int(size) > 0

    async def remove(self, item: T, *, first: int | None = None, last: int | None = None) -> int:
        """Remove every item that equals this, or only the `first` or `last` so many; how many. Redis: LREM."""
        count = first if first is not None else -last if last is not None else 0
        (removed,) = await self._write((b"LREM", self._place.key, count, self._text(item)))
        return int(removed)

    async def __aiter__(self) -> AsyncIterator[T]:
        """The items waiting, from the head, a thousand in memory at a time; nothing is taken. Redis: LRANGE.

        By position: when items are taken meanwhile, some are passed over.
        """
        start = 0
        while found := await self.slice(start, start + CHUNK):
            for item in found:
                yield item
            start += CHUNK

    # How.

    async def _push(self, word: Literal[b"RPUSH", b"LPUSH"], items: tuple[T, ...]) -> int:
        words: list[Word] = [self._text(item) for item in items]
        if not words:
            return await self.len()
        sizes = await self._write(*((word, self._place.key, *part) for part in chunks(words)))
        return int(sizes[-1])

    async def _pop(self, word: Literal[b"LPOP", b"RPOP"]) -> tuple[T | None, float]:
        (text,) = await self._write((word, self._place.key))
        return (None if text is None else self._item(text)), _LOOK_AGAIN

    async def _take(self, lease_ms: int) -> tuple[Job[T] | None, float]:
        token = TOKENS.take()
        answer = await self._once("lease", (token.name, lease_ms), token=token)
        if len(answer) == 1:
            return None, _LOOK_AGAIN if answer[0] < 0 else min(_LOOK_AGAIN, answer[0] / 1000 + 0.001)
        name, attempt, text = answer
        return Job(self._item(text), name.decode(), int(attempt), self), 0

    async def settle(self, job: Job[T], ms: bytes) -> bool:
        """What the methods of `Job` do; `ms` as settle.lua reads it."""
        return bool(await self._once("settle", (job.id, job.attempt, ms)))

    async def _waiting(
        self, attempt: Callable[[], Awaitable[tuple[R | None, float]]], wait: Lifetime | None
    ) -> R | None:
        """Try; while there is nothing and time is left, wait for something to come, and try again."""
        found, again = await attempt()
        if found is not None or wait is None:
            return found
        now = asyncio.get_running_loop().time
        end = now() + milliseconds(wait, f"{self._place.name}: a waiting time") / 1000
        while found is None and (left := end - now()) > 0:
            await self._something_comes(min(left, again))
            found, again = await attempt()
        return found

    async def _something_comes(self, seconds: float) -> None:
        """Wait until there are items, at most so long; where the server does not block (memory://), look often."""
        if self._place.store.backend.connections.address.kind == "memory":
            await asyncio.sleep(min(seconds, random.uniform(_POLL / 2, _POLL)))
            return
        key, longest = self._place.key, f"{max(seconds, 0.001):.3f}"
        with suppress(UnavailableError, BackendTimeoutError):  # the next attempt finds out for itself
            async with self._place.store.transport.session(key) as session:
                await session.send(b"BLMOVE", key, key, b"LEFT", b"LEFT", longest, timeout=seconds + 5)

    def _text(self, item: T) -> bytes:
        return self._values().encode(item)

    def _item(self, text: bytes) -> T:
        item: T = self._values().decode(text, self._place.key)
        return item
