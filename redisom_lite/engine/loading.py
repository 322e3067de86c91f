"""Records by their own keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, Final

from redisom_lite.engine.finding import Row
from redisom_lite.engine.node import Arg
from redisom_lite.engine.resp import OnEachKey
from redisom_lite.engine.scripts import load
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import RedisomError
from redisom_lite.plan.planner import LOADED, portions
from redisom_lite.schema.keyspace import Keyspace

FETCHED: Final = 500
"""Records asked for by key in one go."""
_SLID: Final = 2000
"""Fields of those whose lifetimes are renewed in one step."""


class Loader:
    """Reads records whose keys are known."""

    def __init__(self, transport: Callable[[], Transport]) -> None:
        self._transport = transport

    async def one(self, keyspace: Keyspace, member: bytes) -> Row | None:
        """The row of the record with this key; None where there is none. Redis: HMGET."""
        command = keyspace.reading(keyspace.record_key(member))
        (row,) = await self._transport().commands((command,), retry=True)
        if isinstance(row, RedisomError):
            raise row
        return keyspace.whole(member, row)

    async def load(self, keyspace: Keyspace, members: Sequence[bytes]) -> list[Row | None]:
        """Rows of the records with these keys, in order, None where there is none. Redis: HMGET each."""
        if len(members) <= LOADED:
            return await self._load(keyspace, members)
        return [row async for part in self.parts(keyspace, members) for row in part]

    async def parts(self, keyspace: Keyspace, members: Sequence[bytes]) -> AsyncGenerator[list[Row | None]]:
        """As `load`, part by part; the next is under way while this side works on the last."""
        ahead: asyncio.Task[list[Row | None]] | None = None
        try:
            for names in parts_of(members, portions()):
                part = asyncio.create_task(self._load(keyspace, names))
                await asyncio.sleep(0)  # let it be sent
                last, ahead = ahead, part
                if last is not None:
                    yield await last
            if ahead is not None:
                yield await ahead
        finally:
            if ahead is not None and not ahead.done():
                ahead.cancel()

    async def _load(self, keyspace: Keyspace, members: Sequence[bytes]) -> list[Row | None]:
        commands = OnEachKey(b"HMGET", keyspace.record_keys(members), keyspace.names)
        replies = unrefused(await self._transport().commands(commands, retry=True))
        return [keyspace.whole(member, row) for member, row in zip(members, replies, strict=True)]

    async def load_sliding(
        self, keyspace: Keyspace, members: Sequence[bytes], ttl_ms: int
    ) -> list[Row | None]:
        """As `load`, and give each record found a lifetime of `ttl_ms` from now, in the same step."""
        rows: dict[bytes, Row | None] = {}
        size = max(1, _SLID // len(keyspace.names))
        for partition, group in by_partition(keyspace, members).items():
            for first in range(0, len(group), size):
                part = group[first : first + size]
                keys = keyspace.record_keys(part)
                args: list[Arg] = [keyspace.bases[partition], ttl_ms, *part, *keyspace.names]
                reply = await self._transport().call(load("slide"), keys, args)
                rows.update((m, row and keyspace.whole(m, row)) for m, row in zip(part, reply, strict=True))
        return [rows[member] for member in members]

    async def exist(self, keyspace: Keyspace, members: Sequence[bytes]) -> list[bool]:
        """Which of these records there are. Redis: EXISTS each."""
        commands = OnEachKey(b"EXISTS", keyspace.record_keys(members))
        return [bool(reply) for reply in unrefused(await self._transport().commands(commands, retry=True))]


def parts_of(members: Sequence[bytes], sizes: Iterator[int]) -> Iterator[Sequence[bytes]]:
    """What to read in one go each."""
    at = 0
    while at < len(members):
        size = next(sizes)
        yield members[at : at + size]
        at += size


def by_partition(keyspace: Keyspace, members: Sequence[bytes]) -> dict[int, list[bytes]]:
    groups: dict[int, list[bytes]] = {}
    for member in members:
        groups.setdefault(keyspace.partition(member), []).append(member)
    return groups


def unrefused(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, RedisomError):
            raise reply
    return replies
