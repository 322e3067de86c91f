"""Numbers that many add to: a counter with bounds, and one that counts the last while only."""

from __future__ import annotations

from typing import Final

from redisom_lite.containers.structure import Structure
from redisom_lite.engine.store import Store
from redisom_lite.errors import DeclarationError
from redisom_lite.schema.lifetime import Lifetime, milliseconds

_EXACT: Final = 2**53  # up to here the server compares integers exactly
_SPANS: Final = 60


class Counter(Structure):
    """An integer of 64 bits, 0 until something is added.

    `ge` and `le` are its bounds, inclusive, within 2**53 either way: a change that would leave them is refused with
    `ConstraintError`, decided on the server in the same step.
    """

    kind = b"counter"

    def __init__(
        self,
        db: Store,
        name: str,
        *,
        ge: int | None = None,
        le: int | None = None,
        ttl: Lifetime | None = None,
        sliding: bool = False,
        group: str | None = None,
    ) -> None:
        super().__init__(db, name, ttl=ttl, sliding=sliding, group=group)
        self._options(ge=ge, le=le)

    def _options(self, *, ge: int | None = None, le: int | None = None) -> None:
        self._bounds = bound_words(ge, le)

    async def get(self) -> int:
        """The number. Redis: GET."""
        (text,) = await self._read((b"GET", self._place.key))
        return 0 if text is None else int(text)

    async def incr(self, by: int = 1) -> int:
        """Add `by`, exactly once, and return the new number.

        `ConstraintError` outside the bounds or beyond 64 bits. Redis: GET, INCRBY, GET in one step.
        """
        return int(await self._once("count", (b"", b"i", by, *self._bounds)))

    async def decr(self, by: int = 1) -> int:
        """Subtract `by`, exactly once, and return the new number. As `incr`."""
        return await self.incr(-by)

    async def reset(self, to: int = 0) -> int:
        """Set the number, bounds or not, and return what it was. The lifetime stays. Redis: GET, SET KEEPTTL."""
        old, _ = await self._write((b"GET", self._place.key), (b"SET", self._place.key, to, b"KEEPTTL"))
        return 0 if old is None else int(old)


class WindowCounter(Structure):
    """Counts what happened in the last while, such as requests in the last minute.

    `window` is its length: a timedelta, seconds, or text such as "1m". The count forgets in steps of a sixtieth of the
    window, never early: what is younger than the window is always in it, what is older by more than a sixtieth never.
    `le` is the most it counts: a limit on a rate. The server's clock decides.
    """

    kind = b"window"

    def __init__(
        self, db: Store, name: str, *, window: Lifetime, le: int | None = None, group: str | None = None
    ) -> None:
        super().__init__(db, name, group=group)
        self._options(window=window, le=le)

    def _options(self, *, window: Lifetime | None = None, le: int | None = None) -> None:
        if window is None:
            raise DeclarationError("WindowCounter needs the length of its window, as in window='1m'")
        ms = milliseconds(window, "WindowCounter(window=...)")
        self._span = -(-ms // _SPANS)
        self._spans = -(-ms // self._span)
        self._most = bound_words(None, le)[1]

    async def get(self) -> int:
        """How many in the last while. Redis: one EVALSHA of TIME and HGETALL, at most 62 fields."""
        return int(await self._ask("window_sum", self._span, self._spans))

    async def incr(self, by: int = 1) -> int:
        """Count `by` more, exactly once; how many there are in the last while, these included.

        `ConstraintError` when that is more than `le`: then none are counted. Redis: HGETALL, HINCRBY, HDEL, PEXPIRE in
        one step.
        """
        return int(await self._once("window", (self._span, self._spans, by, self._most)))

    async def reset(self) -> None:
        """Forget what was counted. Redis: UNLINK."""
        await self.delete()


def bound_words(ge: float | None, le: float | None) -> tuple[bytes, bytes]:
    """Bounds as count.lua reads them."""
    for bound in (ge, le):
        if bound is not None and not abs(bound) <= _EXACT:
            raise DeclarationError("a bound is at most 2**53 either way")
    return (b"" if ge is None else repr(ge).encode(), b"" if le is None else repr(le).encode())
