"""What the backup does not have yet: a stream on the primary that names the records, by model and key, never a value.

An *intent* is noted before a write and taken back after it; a *debt* stays until the backup has the record. A writer
that dies leaves its intent, which counts as a debt once it is older than any write can be under way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redisom_lite import keys
from redisom_lite.engine.administration import unrefused
from redisom_lite.engine.node import Command
from redisom_lite.engine.store import Store

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Note:
    """One entry: its id, the model's base, the records' keys (sort form), whether its write may be under way."""

    id: bytes
    base: bytes
    members: tuple[bytes, ...]
    intent: bool

    @property
    def milliseconds(self) -> int:
        """When it was made, by the primary's clock."""
        return int(self.id.partition(b"-")[0])


class Journal:
    """The stream of one mirror."""

    def __init__(self, primary: Store, name: str) -> None:
        self._primary = primary
        self._key = keys.hash_tag(primary.namespace, "redisom-mirror") + b":" + keys.encode(name.encode())

    async def note(
        self, base: bytes, members: Sequence[bytes], *, instead_of: bytes = b"", intent: bool
    ) -> bytes:
        """Add an entry, and remove the one it replaces. Redis: XADD, XDEL. Sent twice, it is noted twice: harmless."""
        words = [word for member in members for word in (b"k", member)]
        add: Command = (b"XADD", self._key, b"*", b"m", base, b"s", b"i" if intent else b"d", *words)
        remove: list[Command] = [(b"XDEL", self._key, instead_of)] if instead_of else []
        return bytes((await self._send(add, *remove))[0])

    async def forget(self, *ids: bytes) -> None:
        if ids:
            await self._send((b"XDEL", self._key, *ids))

    async def pages(self) -> AsyncGenerator[list[Note]]:
        """All entries, the oldest first."""
        start = b"-"
        while True:
            (found,) = await self._send((b"XRANGE", self._key, start, b"+", b"COUNT", _PAGE))
            if not found:
                return
            yield [_note(each) for each in found]
            start = b"(" + bytes(found[-1][0])

    async def names(self, base: bytes, member: bytes) -> bool:
        """Whether a record is in it."""
        async for page in self.pages():
            if any(note.base == base and member in note.members for note in page):
                return True
        return False

    async def length(self) -> tuple[int, int | None, int]:
        """Entries, when the oldest was made, and the present: ms of the primary's clock. Redis: XLEN, XRANGE, TIME."""
        count, first, clock = await self._send(
            (b"XLEN", self._key), (b"XRANGE", self._key, b"-", b"+", b"COUNT", 1), (b"TIME",)
        )
        now = int(clock[0]) * 1000 + int(clock[1]) // 1000
        return count, _note(first[0]).milliseconds if first else None, now

    async def _send(self, *commands: Command) -> list[Any]:
        return unrefused(await self._primary.transport.commands(commands, retry=True))


def _note(entry: Any) -> Note:
    name, flat = entry
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    plain = dict(pairs)
    members = tuple(bytes(value) for key, value in pairs if key == b"k")
    return Note(bytes(name), bytes(plain[b"m"]), members, plain[b"s"] == b"i")
