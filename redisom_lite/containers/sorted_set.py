"""Members in the order of their scores: leaderboards, priorities, time lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from math import inf
from typing import Any, Generic

from typing_extensions import TypeVar

from redisom_lite.containers.structure import CHUNK, Command, Structure, Word, chunks
from redisom_lite.errors import ConstraintError

T = TypeVar("T", default=str)


class SortedSet(Structure, Generic[T]):
    """A sorted set on the server: `SortedSet[int](db, "weekly")`; of `str` without brackets. One key.

    Ranks count from 0, the highest score first: `rank` is the position in what `top` gives. Members of equal score
    stand in the descending order of their stored text. Scores are floats: integers are exact up to 2**53.
    """

    kind = b"zset"
    parameters = 1
    types = (str,)

    async def add(self, member: T, score: float) -> bool:
        """Give a member a score; whether it is new. Redis: ZADD."""
        (added,) = await self._write((b"ZADD", self._place.key, _score(score), self._text(member)))
        return bool(added)

    async def update(self, scores: Mapping[T, float]) -> int:
        """Give many members their scores, all in one step; how many are new. Redis: ZADD."""
        words: list[Word] = [
            word for item, score in scores.items() for word in (_score(score), self._text(item))
        ]
        return sum(await self._write(*((b"ZADD", self._place.key, *part) for part in chunks(words))))

    async def incr(self, member: T, by: float = 1) -> float:
        """Add to a member's score (0 if it is new), exactly once; its new score. Redis: ZINCRBY."""
        (score,) = await self._write((b"ZINCRBY", self._place.key, _score(by), self._text(member)))
        return float(score)

    async def discard(self, *members: T) -> int:
        """Remove members; how many there were. Redis: ZREM."""
        words = [self._text(member) for member in members]
        return sum(await self._write(*((b"ZREM", self._place.key, *part) for part in chunks(words))))

    async def score(self, member: T) -> float | None:
        """A member's score, None if it is none. Redis: ZSCORE."""
        (score,) = await self._read((b"ZSCORE", self._place.key, self._text(member)))
        return None if score is None else float(score)

    async def rank(self, member: T) -> int | None:
        """How many members stand above this one, None if it is none. Redis: ZREVRANK."""
        (rank,) = await self._read((b"ZREVRANK", self._place.key, self._text(member)))
        return rank if rank is None else int(rank)

    async def contains(self, member: T) -> bool:
        """Whether this is a member. Redis: ZSCORE."""
        return await self.score(member) is not None

    async def len(self) -> int:
        """How many members. Redis: ZCARD."""
        (count,) = await self._read((b"ZCARD", self._place.key))
        return int(count)

    async def top(self, n: int = 10) -> list[tuple[T, float]]:
        """The `n` members of the highest scores, highest first. Redis: ZREVRANGE."""
        return await self.slice(0, max(n, 0))

    async def bottom(self, n: int = 10) -> list[tuple[T, float]]:
        """The `n` members of the lowest scores, lowest first. Redis: ZRANGE."""
        if n <= 0:
            return []
        (found,) = await self._read((b"ZRANGE", self._place.key, 0, n - 1, b"WITHSCORES"))
        return self._pairs(found)

    async def slice(self, start: int, stop: int) -> list[tuple[T, float]]:
        """The members of the ranks from `start` up to, and without, `stop`; both from 0. Redis: ZREVRANGE."""
        if start < 0 or stop < 0:
            raise ConstraintError(f"{self._place.name}: ranks count from 0")
        if stop <= start:
            return []
        (found,) = await self._read((b"ZREVRANGE", self._place.key, start, stop - 1, b"WITHSCORES"))
        return self._pairs(found)

    async def page(self, number: int, *, size: int = 20) -> list[tuple[T, float]]:
        """A page of the ranking, pages counted from 0; empty behind the last. Redis: ZREVRANGE."""
        return await self.slice(number * size, (number + 1) * size)

    async def around(self, member: T, n: int = 5) -> list[tuple[T, float]]:
        """A member between up to `n` above and up to `n` below it, highest first; empty if it is none.

        Redis: one EVALSHA of ZREVRANK, ZREVRANGE.
        """
        _, *found = await self._ask("around", self._text(member), max(n, 0), max(n, 0))
        return self._pairs(found)

    async def between(
        self, low: float = -inf, high: float = inf, *, limit: int | None = None, offset: int = 0
    ) -> list[tuple[T, float]]:
        """The members whose score is from `low` to `high`, both inclusive, highest first. Redis: ZREVRANGEBYSCORE."""
        command: Command = (b"ZREVRANGEBYSCORE", self._place.key, _score(high), _score(low), b"WITHSCORES")
        if limit is not None or offset:
            command = (*command, b"LIMIT", offset, -1 if limit is None else limit)
        (found,) = await self._read(command)
        return self._pairs(found)

    async def count(self, low: float = -inf, high: float = inf) -> int:
        """How many members have a score from `low` to `high`, both inclusive. Redis: ZCOUNT."""
        (count,) = await self._read((b"ZCOUNT", self._place.key, _score(low), _score(high)))
        return int(count)

    async def keep_top(self, n: int) -> int:
        """Remove all but the `n` members of the highest scores; how many. Redis: ZREMRANGEBYRANK."""
        (removed,) = await self._write((b"ZREMRANGEBYRANK", self._place.key, 0, -n - 1))
        return int(removed)

    async def pop_top(self) -> tuple[T, float] | None:
        """Remove the member of the highest score and return it, exactly once; None if there is none. Redis: ZPOPMAX."""
        (found,) = await self._write((b"ZPOPMAX", self._place.key))
        return self._pairs(found)[0] if found else None

    async def pop_bottom(self) -> tuple[T, float] | None:
        """Remove the member of the lowest score and return it, exactly once; None if there is none. Redis: ZPOPMIN."""
        (found,) = await self._write((b"ZPOPMIN", self._place.key))
        return self._pairs(found)[0] if found else None

    async def __aiter__(self) -> AsyncIterator[tuple[T, float]]:
        """Members and scores, highest first, a thousand in memory at a time. Redis: ZREVRANGE.

        By rank: what changes place meanwhile may be missed or come twice.
        """
        start = 0
        while found := await self.slice(start, start + CHUNK):
            for pair in found:
                yield pair
            start += CHUNK

    def _pairs(self, flat: list[bytes]) -> list[tuple[T, float]]:
        decode, key = self._values().decode, self._place.key
        return [(decode(text, key), float(score)) for text, score in zip(flat[::2], flat[1::2], strict=True)]

    def _text(self, member: T) -> bytes:
        return self._values().encode(member)


class Leaderboard(SortedSet[T]):
    """A `SortedSet` under the name of its commonest use; both classes find the same structure by one name."""


def _score(score: float) -> bytes:
    number: Any = score
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number:
        raise ConstraintError("a score is a number, and not NaN")
    try:
        return repr(float(number)).encode()
    except OverflowError:
        raise ConstraintError("a score is at most what a float can hold") from None
