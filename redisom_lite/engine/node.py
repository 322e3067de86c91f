"""What transports are made of: endpoints, connections lent out singly, and sessions over them.

    Endpoint     a server, or several that act as one; many callers at once
    Line         one connection: commands go out, replies come back in order
    Lines        lines lent to one caller at a time, kept for the next if they come back clean
    LineSession  what a borrower sees of a line: WATCH, MULTI, blocking commands

Rules: deadlines are times of the running loop's clock. Error replies come back in place, as errors of the
library; what is raised is a failure of the connection, with an outcome: `"none"` while nothing was written,
else `"unknown"`. Nothing here repeats a command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from math import inf
from typing import Any, Final, Protocol, TypeAlias

from redisom_lite.engine import failure
from redisom_lite.errors import BackendError, RedisomError
from redisom_lite.words import Words

Arg: TypeAlias = bytes | str | int
Command: TypeAlias = Sequence[Arg]
"""A command and its arguments, every word of its own: `("CONFIG", "GET", name)`."""

IDLE: Final = 30.0
"""Seconds of silence after which a connection is no longer trusted."""
_BEGINS: Final = frozenset({"WATCH", "MULTI"})
_ENDS: Final = frozenset({"EXEC", "DISCARD", "UNWATCH"})
# What changes a connection for its next user, or keeps it from answering one by one.
_SPOILS: Final = frozenset(
    {
        *("AUTH", "HELLO", "RESET", "SELECT", "CLIENT", "ASKING", "READONLY", "READWRITE", "QUIT"),
        *("MONITOR", "PSYNC", "SYNC", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"),
    }
)
_MISLED: Final = ("MOVED", "ASK", "READONLY")


class Line(Protocol):
    """One connection to a server."""

    @property
    def clean(self) -> bool:
        """Open, and every reply read: fit for the next caller."""
        ...

    def exchange(self, commands: Sequence[Command], deadline: float) -> Awaitable[list[Any]]:
        """Send the commands in one go and return their replies; a failure leaves the line closed."""
        ...

    def close(self) -> None:
        """Close at once, without waiting."""
        ...

    def abandon(self) -> None:
        """Close the socket without the loop, which is closed."""
        ...


class Endpoint(Protocol):
    """What a transport talks to: a server, the primary of a sentinel service, or a cluster as a whole."""

    @property
    def follows(self) -> bool:
        """Whether another server may take over, and this endpoint find it."""
        ...

    def one(self, command: Command, deadline: float) -> Awaitable[Any]:
        """Send one command, return its reply."""
        ...

    def many(self, commands: Sequence[Command], deadline: float) -> Awaitable[list[Any]]:
        """Send commands in one go, return their replies."""
        ...

    async def everywhere(self, command: Command, deadline: float) -> list[Any]:
        """Send a command to every server there is, return their replies; for what each keeps for itself."""
        ...

    async def behind(self, first: Command, command: Command, deadline: float) -> tuple[list[Any], Any]:
        """Send `first` everywhere and a command behind it, which does not fail with it; all their replies."""
        ...

    async def lines(self, key: bytes | None, deadline: float) -> Lines:
        """The lines to the server that holds `key`."""
        ...

    def drop(self) -> None:
        """Leave the present connections to what is under way on them: they lead to a deposed primary."""
        ...

    async def aclose(self, grace: float) -> None:
        """Close, waiting up to `grace` seconds for what is under way."""
        ...

    def abandon(self) -> None:
        """Close the sockets of a loop that is closed itself and can run nothing any more."""
        ...


class Lines:
    """At most `limit` lines; a caller waits for one in turn until its deadline."""

    def __init__(self, opener: Callable[[float], Awaitable[Line]], *, limit: int, where: str) -> None:
        self._opener = opener
        self._limit = limit
        self._where = where
        self._permits = asyncio.Semaphore(limit)
        self._idle: list[tuple[Line, float]] = []
        self._now = asyncio.get_running_loop().time
        self._lent: set[Line] = set()
        self._closed = False

    async def take(self, deadline: float) -> Line:
        """Lend a clean line."""
        if self._closed:
            raise failure.closed(self._where)
        if self._permits.locked():
            await self._wait(deadline)
        else:
            await self._permits.acquire()  # at once
        try:
            if self._closed:  # while this caller waited
                raise failure.closed(self._where)
            line = self._reuse() or await self._opener(deadline)
        except BaseException:
            self._permits.release()
            raise
        self._lent.add(line)
        return line

    async def _wait(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._permits.acquire()
        except TimeoutError as error:
            where = f"{self._where}: all {self._limit} connections are in use (max_connections)"
            raise failure.timed_out(where, "none", error) from error

    def give_back(self, line: Line) -> None:
        """Take a line back; one that is not clean is closed instead of kept."""
        if line in self._lent and line.clean and not self._closed:
            self._idle.append((line, self._now()))
        else:
            line.close()
        self._lent.discard(line)
        self._permits.release()

    def _reuse(self) -> Line | None:
        while self._idle:
            line, since = self._idle.pop()
            # One long idle may lead nowhere any more (a firewall forgot it); another is soon opened.
            if line.clean and self._now() - since < IDLE:
                return line
            line.close()
        return None

    def drop(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        for line, _ in self._idle:
            line.close()
        self._idle.clear()
        self._lent.clear()

    def all(self) -> list[Line]:
        return [*(line for line, _ in self._idle), *self._lent]

    async def aclose(self, grace: float) -> None:
        """Wait up to `grace` seconds for what is lent, then close everything."""
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(grace):
                for _ in range(self._limit):
                    await self._permits.acquire()
        except TimeoutError:
            for line in self._lent:
                line.close()
        self.drop()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn, which may be its last


class LineSession:
    """A borrowed line, and whether it may be lent again."""

    def __init__(self, line: Line, timeout: float) -> None:
        self._line = line
        self._timeout = timeout
        self._open = False
        self._spoiled = False
        self.misled = False
        """Whether the server said that it is not, or no longer, the one to ask."""

    async def send(self, *args: Arg, timeout: float | None = None) -> Any:
        """Send one command and return its reply; an error reply is raised."""
        (reply,) = await self.send_many([args], timeout=timeout)
        if isinstance(reply, RedisomError):
            raise reply
        return reply

    async def send_many(self, commands: Sequence[Command], *, timeout: float | None = None) -> list[Any]:
        """Send commands in one round trip; error replies come back in place."""
        if not commands:
            return []
        for command in commands:
            if type(command) is not Words:  # what is packed beforehand reads a record, or runs a script
                self._note(command[0])
        seconds = self._timeout if timeout is None else timeout
        deadline = inf if seconds == inf else asyncio.get_running_loop().time() + seconds
        replies = await self._line.exchange(commands, deadline)
        for reply in replies:
            if isinstance(reply, BackendError) and reply.code in _MISLED:
                self.misled = True
        return replies

    def _note(self, word: Arg) -> None:
        name = _name(word)
        if name in _BEGINS:
            self._open = True
        elif name in _ENDS:
            self._open = False
        elif name in _SPOILS:
            self._spoiled = True

    def leave(self) -> None:
        """Close a line that the next borrower must not see: watching, queueing, or set up otherwise."""
        if self._open or self._spoiled or self.misled:
            self._line.close()


@lru_cache
def _name(word: Arg) -> str:
    return (word.decode() if isinstance(word, bytes) else str(word)).upper()
