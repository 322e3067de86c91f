"""A set of typed members, and algebra with other sets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Generic, overload

from typing_extensions import TypeVar

from redisom_lite.containers.structure import CHUNK, Command, Structure, chunks

T = TypeVar("T", default=str)


class SetOf(Structure, Generic[T]):
    """A set on the server: `SetOf[int](db, "seen")`; of `str` without brackets. One key; no order.

    Sets that are combined hold values of one type. On a cluster they need a common `group`, else `CrossSlotError`.
    """

    kind = b"set"
    parameters = 1
    types = (str,)

    async def add(self, *members: T) -> int:
        """Add members; how many are new. Redis: SADD."""
        words = [self._text(member) for member in members]
        return sum(await self._write(*((b"SADD", self._place.key, *part) for part in chunks(words))))

    async def discard(self, *members: T) -> int:
        """Remove members; how many there were. Redis: SREM."""
        words = [self._text(member) for member in members]
        return sum(await self._write(*((b"SREM", self._place.key, *part) for part in chunks(words))))

    async def contains(self, member: T) -> bool:
        """Whether this is a member. Redis: SISMEMBER."""
        (found,) = await self._read((b"SISMEMBER", self._place.key, self._text(member)))
        return bool(found)

    async def len(self) -> int:
        """How many members. Redis: SCARD."""
        (count,) = await self._read((b"SCARD", self._place.key))
        return int(count)

    async def members(self) -> set[T]:
        """All members, at one instant, in memory. Redis: SMEMBERS."""
        (found,) = await self._read((b"SMEMBERS", self._place.key))
        return self._set(found)

    async def random(self, n: int = 1) -> list[T]:
        """Up to `n` different members by chance. Redis: SRANDMEMBER."""
        (found,) = await self._read((b"SRANDMEMBER", self._place.key, max(n, 0)))
        return [self._member(text) for text in found]

    @overload
    async def pop(self) -> T | None: ...
    @overload
    async def pop(self, n: int) -> list[T]: ...
    async def pop(self, n: int | None = None) -> T | list[T] | None:
        """Remove a member by chance and return it (None: the set is empty), or a list of up to `n`; exactly once.

        Redis: SPOP.
        """
        ((*found,),) = await self._write((b"SPOP", self._place.key, 1 if n is None else max(n, 0)))
        taken: list[T] = [self._member(text) for text in found]
        if n is not None:
            return taken
        return taken[0] if taken else None

    async def union(self, *others: SetOf[T]) -> set[T]:
        """The members of any of these sets. Redis: SUNION."""
        return await self._combined(b"SUNION", others)

    async def intersection(self, *others: SetOf[T]) -> set[T]:
        """The members of all of these sets. Redis: SINTER."""
        return await self._combined(b"SINTER", others)

    async def difference(self, *others: SetOf[T]) -> set[T]:
        """The members of this set that are in none of the others. Redis: SDIFF."""
        return await self._combined(b"SDIFF", others)

    async def store_union(self, *sources: SetOf[T]) -> int:
        """Make this set the union of `sources` (itself, only if among them); how many members. Redis: SUNIONSTORE."""
        return await self._store(b"SUNIONSTORE", sources)

    async def store_intersection(self, *sources: SetOf[T]) -> int:
        """Make this set the intersection of `sources`; how many members. Redis: SINTERSTORE."""
        return await self._store(b"SINTERSTORE", sources)

    async def store_difference(self, first: SetOf[T], *others: SetOf[T]) -> int:
        """Make this set what is in `first` and in none of the others; how many members. Redis: SDIFFSTORE."""
        return await self._store(b"SDIFFSTORE", (first, *others))

    async def __aiter__(self) -> AsyncIterator[T]:
        """The members, about a thousand in memory at a time. Redis: SSCAN.

        What is there from the beginning to the end comes up, rarely twice if the set shrinks or grows meanwhile.
        """
        cursor: Any = b"0"
        while True:
            ((cursor, found),) = await self._read((b"SSCAN", self._place.key, cursor, b"COUNT", CHUNK))
            for text in found:
                yield self._member(text)
            if cursor in (b"0", 0):
                return

    async def _combined(self, word: bytes, others: tuple[SetOf[T], ...]) -> set[T]:
        (found,) = await self._read((word, self._place.key, *(other._place.key for other in others)))
        return self._set(found)

    async def _store(self, word: bytes, sources: tuple[SetOf[T], ...]) -> int:
        keys = [source._place.key for source in sources]
        commands: list[Command] = [(word, self._place.key, *keys)]
        if self._ttl_ms is not None:  # what is stored anew has lost its lifetime
            commands.append((b"PEXPIRE", self._place.key, self._ttl_ms))
        count, *_ = await self._write(*commands, others=keys)
        return int(count)

    def _set(self, found: Any) -> set[T]:
        return {self._member(text) for text in found}

    def _text(self, member: T) -> bytes:
        return self._values().encode(member)

    def _member(self, text: bytes) -> T:
        member: T = self._values().decode(text, self._place.key)
        return member
