"""The scripts of `by_lua.py` over a bare asyncio socket, packed and parsed by hiredis: the floor for one process.

No reconnecting, no time limits, no errors told apart: what is missing here is what a client library costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import hiredis

from benchmarks.contenders.by_hand import PREFIX, ranged, record
from benchmarks.contenders.by_lua import NAMES, SCRIPTS, SHAS, ByLua, object_of
from benchmarks.flight import PlainFlight

_NAMES = hiredis.pack_command(NAMES).partition(b"\n")[2]
"""The names of the fields as they stand in a command."""


class _Connection(asyncio.Protocol):
    """One connection: what one turn of the event loop sends goes out in one write; replies come in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft().set_result(reply)

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        self._waiting.append(future)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        return future

    def _flush(self) -> None:
        self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def close(self) -> None:
        self._transport.close()


class Bare(ByLua):
    """Scripts through a socket."""

    async def open(self, url: str) -> None:
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        if parts.scheme == "unix":
            _, self._connection = await loop.create_unix_connection(_Connection, parts.path)
        else:
            _, self._connection = await loop.create_connection(
                _Connection, parts.hostname, parts.port or 6379
            )
        await self._command("SELECT", parse_qs(parts.query).get("db", ["0"])[0])
        for text in SCRIPTS.values():
            await self._command("SCRIPT", "LOAD", text)

    def _command(self, *words: Any) -> Any:
        return self._connection.send(hiredis.pack_command(words))

    async def _call(self, script: str, *args: Any) -> Any:
        reply = await self._command("EVALSHA", SHAS[script], "1", PREFIX, *args)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _row(self, pk: int | str) -> asyncio.Future[Any]:
        key = record(pk).encode()
        return self._connection.send(b"*22\r\n$5\r\nHMGET\r\n$%d\r\n%b\r\n%b" % (len(key), key, _NAMES))

    async def _object(self, pk: int) -> PlainFlight:
        return object_of(await self._row(pk))

    async def _rows(self, pks: Sequence[Any]) -> list[int]:
        """Rows by one HMGET each, pipelined: quicker than in a script when there are many."""
        rows = [self._row(pk) for pk in pks]
        await rows[-1]
        return [object_of(row.result()).id for row in rows]

    async def get_many(self, pks: Sequence[int]) -> list[int]:
        return await self._rows(pks)

    async def in_range(self, low: int, high: int) -> list[int]:
        found = await self._command("ZRANGEBYSCORE", ranged("dep_delay"), low, high)
        return await self._rows([pk.decode() for pk in found])

    async def close(self) -> None:
        self._connection.close()
