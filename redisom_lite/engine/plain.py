"""A server over redis-py's connections as they are: for fakeredis, and wherever multiplexing is switched off.

Each caller has a connection to itself while its commands are under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import isinf
from typing import Any, Final, TypeGuard

from redisom_lite.engine import failure
from redisom_lite.engine.connection import Connector, abandon_connection, abort_connection, heeding
from redisom_lite.engine.node import Command, Line, Lines
from redisom_lite.engine.resp import pack_all

_SHORT_LIMIT: Final = 16


class PlainLine:
    """One redis-py connection."""

    def __init__(self, connection: Any, where: str) -> None:
        self._connection = connection
        self._where = where
        self._busy = False

    @property
    def clean(self) -> bool:
        return not self._busy and self._connection.is_connected and self._is_quiet()

    def _is_quiet(self) -> bool:
        """Whether the server neither hung up nor sent what nobody asked for.

        redis-py's public check awaits, and consumes what it finds.
        """
        reader = self._connection._reader
        return not reader.at_eof() and not getattr(reader, "_buffer", None)

    async def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        payload = pack_all(commands)
        self._busy = True
        try:
            async with asyncio.timeout_at(None if isinf(deadline) else deadline):
                await heeding(self._connection.send_packed_command(payload, check_health=False))
                replies = [await self._reply() for _ in commands]
        except TimeoutError as error:
            self.close()
            raise failure.timed_out(self._where, "unknown", error) from error
        except asyncio.CancelledError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise failure.from_driver(error, self._where, "unknown") from error
        self._busy = False
        return replies

    async def _reply(self) -> Any:
        try:
            reply = await self._connection.read_response()
        except Exception as error:
            if failure.is_reply(error) and self._connection.is_connected:
                return self._refusal(error)
            raise
        return self._refusals(reply) if _is_list(reply) else reply

    def _refusals(self, items: list[Any]) -> list[Any]:
        """The refusals among the replies of EXEC."""
        return [self._refusal(item) if isinstance(item, Exception) else item for item in items]

    def _refusal(self, error: Exception) -> Any:
        return failure.from_driver(error, self._where, "none")

    def close(self) -> None:
        abort_connection(self._connection)

    def abandon(self) -> None:
        abandon_connection(self._connection)


class PlainServer:
    """One server endpoint, a pool of connections."""

    def __init__(self, connector: Connector, *, limit: int, follows: bool = False) -> None:
        self.follows = follows
        self._connector = connector
        self._where = connector.where
        # Blocking commands must not keep short ones from a connection: two pools. The short ones' is small,
        # as the server runs one command at a time anyway.
        self._lines = Lines(self._open, limit=limit, where=self._where)
        self._short = Lines(self._open, limit=min(limit, _SHORT_LIMIT), where=self._where)

    async def _open(self, deadline: float) -> Line:
        connection = await self._connector.connect(deadline)
        connection.socket_timeout = None  # from here on the deadline of each exchange is in force
        return PlainLine(connection, self._where)

    async def one(self, command: Command, deadline: float) -> Any:
        (reply,) = await self.many([command], deadline)
        return reply

    async def many(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        line = await self._short.take(deadline)
        try:
            return await line.exchange(commands, deadline)
        finally:
            self._short.give_back(line)

    async def everywhere(self, command: Command, deadline: float) -> list[Any]:
        return await self.many([command], deadline)

    async def behind(self, first: Command, command: Command, deadline: float) -> tuple[list[Any], Any]:
        taken, reply = await self.many([first, command], deadline)
        return [taken], reply

    async def lines(self, key: bytes | None, deadline: float) -> Lines:
        return self._lines

    def drop(self) -> None:
        self._short.drop()
        self._lines.drop()

    async def aclose(self, grace: float) -> None:
        await self._short.aclose(grace)
        await self._lines.aclose(grace)
        await self._connector.aclose()

    def abandon(self) -> None:
        for line in (*self._short.all(), *self._lines.all()):
            line.abandon()
        self._connector.abandon()


def _is_list(reply: object) -> TypeGuard[list[Any]]:
    return isinstance(reply, list)
