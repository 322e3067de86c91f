"""Turns: how calls of one event loop that met over a key go one after the other, the earliest first.

WATCH lets whoever commits first win, and that tends to be who has just won: with many tasks at one key some would
run again and again. So a call that has run in vain claims the keys it watched, and a call about to watch claimed keys
waits for those that began before it. It claims them too, which makes a line of those who wait.

Nobody waits for a later call, so no two wait for each other, and no new one comes in between: a line always ends.
It is a courtesy all the same, as a call may take long, or wait for another inside its own: who sees no headway for a
while goes ahead, and WATCH decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Self

PATIENCE: Final = 1.0
"""Seconds without headway after which a call waits no longer."""

_numbers: Final = count()
_claims: Final[dict[tuple[int, bytes], dict[int, Turn]]] = {}


class Turn:
    """The place of one call, from its beginning to its end: `with Turn() as turn`."""

    def __init__(self) -> None:
        self._number = next(_numbers)
        self._loop = id(asyncio.get_running_loop())
        self._claimed: set[tuple[int, bytes]] = set()
        self._over: asyncio.Future[None] | None = None  # made by the first who waits for it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for name in self._claimed:
            line = _claims[name]
            del line[self._number]
            if not line:
                del _claims[name]
        if self._over is not None and not self._over.get_loop().is_closed():  # else nobody waits any more
            self._over.set_result(None)

    def claim(self, keys: Iterable[bytes]) -> None:
        """Let calls that begin later wait at these keys until this one is over."""
        for key in keys:
            name = (self._loop, key)
            self._claimed.add(name)
            _claims.setdefault(name, {})[self._number] = self

    async def come(self, keys: Sequence[bytes]) -> None:
        """Wait until no earlier call claims any of these keys."""
        ahead = self._ahead(keys)
        while ahead:
            self.claim(keys)
            await asyncio.wait([ahead[max(ahead)]._end()], timeout=PATIENCE)
            before, ahead = ahead, self._ahead(keys)
            if before.keys() <= ahead.keys():
                return

    def _end(self) -> asyncio.Future[None]:
        if self._over is None:
            self._over = asyncio.get_running_loop().create_future()
        return self._over

    def _ahead(self, keys: Sequence[bytes]) -> dict[int, Turn]:
        """The earlier calls that claim one of these keys."""
        if not _claims:
            return {}
        lines = (_claims.get((self._loop, key), {}) for key in keys)
        return {number: turn for line in lines for number, turn in line.items() if number < self._number}
