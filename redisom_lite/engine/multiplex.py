"""A server over one connection for all callers, and connections of their own for sessions.

The shared connection is a `Wire`. It is opened by the first caller and, when it broke or fell silent, by the next one;
a server that cannot be reached is tried at growing intervals, however many callers wait for it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, Final

from redisom_lite.engine import failure
from redisom_lite.engine.connection import Connector, abandon_connection
from redisom_lite.engine.node import IDLE, Command, Lines
from redisom_lite.engine.resp import pack, pack_all
from redisom_lite.engine.wire import Wire
from redisom_lite.errors import RedisomError

_CLOSING: Final = 1.0
_PING: Final = pack((b"PING",))
_PING_TIMEOUT: Final = 1.0
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.25


class MultiplexedServer:
    """One server endpoint: a wire for all callers, and wires lent out singly to sessions."""

    def __init__(self, connector: Connector, *, limit: int, timeout: float, follows: bool = False) -> None:
        self.follows = follows
        self._connector = connector
        self._where = connector.where
        self._loop = asyncio.get_running_loop()
        self._quiet = timeout + IDLE
        # Short enough for a call that finds the server away to see it come back.
        self._longest_pause = min(_LONGEST_PAUSE, timeout / 2)
        self._wire: Wire | None = None
        self._connecting = asyncio.Lock()
        self._failures = 0
        self._failed: RedisomError | None = None
        self._not_before = 0.0
        self._closed = False
        self._lines = Lines(self._open, limit=limit, where=self._where)

    def one(self, command: Command, deadline: float) -> Awaitable[Any]:
        return self._send(pack(command), 0, deadline)

    def many(self, commands: Sequence[Command], deadline: float) -> Awaitable[list[Any]]:
        return self._send(pack_all(commands), len(commands), deadline)

    def _send(self, payload: bytes, want: int, deadline: float) -> Awaitable[Any]:
        wire = self._wire
        # A wire long silent may lead nowhere any more (a firewall forgot it): it is asked first.
        if wire is not None and wire.open and deadline - wire.heard_at < self._quiet:
            return wire.send(payload, want, deadline)
        return self._send_when_ready(payload, want, deadline)

    async def _send_when_ready(self, payload: bytes, want: int, deadline: float) -> Any:
        wire = await self._ready(deadline)
        return await wire.send(payload, want, deadline)

    async def _ready(self, deadline: float) -> Wire:
        """The open wire: one caller connects, the others wait for it, each until its own deadline."""
        try:
            async with asyncio.timeout_at(deadline), self._connecting:
                if self._wire is not None and await self._answers(self._wire):
                    return self._wire
                await self._calm_down(deadline)
                self._wire = await self._connect(deadline)
                return self._wire
        except TimeoutError as error:
            if self._failed is not None:  # it says more than that time is up
                raise _twin(self._failed) from self._failed.__cause__
            raise failure.timed_out(self._where, "none", error) from error

    async def _calm_down(self, deadline: float) -> None:
        """Wait out the pause after a failed attempt; raise what failed if the pause takes until the deadline."""
        if self._failed is None:
            return
        if self._not_before >= deadline:
            raise _twin(self._failed)
        await asyncio.sleep(self._not_before - self._loop.time())

    async def _answers(self, wire: Wire) -> bool:
        """Whether a wire is open, and if it was silent for long, replies to a PING."""
        now = self._loop.time()
        if wire.open and now - wire.heard_at >= IDLE:
            with suppress(RedisomError):
                await wire.send(_PING, 0, now + _PING_TIMEOUT)
        return wire.open

    async def _connect(self, deadline: float) -> Wire:
        """Open a wire, or note the failure so that callers do not storm a server that is down."""
        try:
            wire = await self._open(deadline)
        except RedisomError as error:
            pause = min(_FIRST_PAUSE * 2**self._failures, self._longest_pause)
            self._failures += 1
            self._failed = error
            self._not_before = self._loop.time() + random.uniform(0, pause)
            raise
        self._failures, self._failed = 0, None
        return wire

    async def _open(self, deadline: float) -> Wire:
        self._refuse_if_closed()
        connection = await self._connector.connect(deadline)
        wire = Wire(self._loop, self._where)
        try:
            wire.take_over(connection)
        except Exception as error:  # the transport may be gone again already
            abandon_connection(connection)
            raise failure.lost(self._where, "none", error) from error
        if self._closed:  # while it was being opened
            wire.close()
        self._refuse_if_closed()
        if not wire.open:
            raise failure.lost(self._where, "none", None)
        return wire

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise failure.closed(self._where)

    async def everywhere(self, command: Command, deadline: float) -> list[Any]:
        return await self.many([command], deadline)

    async def behind(self, first: Command, command: Command, deadline: float) -> tuple[list[Any], Any]:
        taken, reply = await self.many([first, command], deadline)
        return [taken], reply

    async def lines(self, key: bytes | None, deadline: float) -> Lines:
        return self._lines

    def drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.retire()
        self._lines.drop()

    async def aclose(self, grace: float) -> None:
        self._closed = True
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.retire()
            await asyncio.wait([wire.gone], timeout=grace)
            wire.close()
            await asyncio.wait([wire.gone], timeout=_CLOSING)
        await self._lines.aclose(grace)
        await self._connector.aclose()

    def abandon(self) -> None:
        self._closed = True
        for wire in (self._wire, *self._lines.all()):
            if wire is not None:
                wire.abandon()
        self._connector.abandon()


def _twin(error: RedisomError) -> RedisomError:
    """The same error for another caller: one that is raised twice would gather both tracebacks."""
    twin = copy(error)
    twin.__cause__ = error.__cause__
    return twin
