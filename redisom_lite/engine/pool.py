"""One transport per event loop: made on demand, closed with the loop, never carried over a fork.

A connection belongs to the loop it was opened in, and programs have several: one per `asyncio.run`, per
thread, per test. How a loop's connections end:

- `aclose()` closes those of every loop;
- a loop that shuts down in order (`asyncio.run` and `Runner`, servers, test runners) closes the
  asynchronous generators that started in it, and one of ours closes them (`_Loop`);
- a loop that was merely closed is noticed when the next one comes, and its sockets are closed then.

In a forked child nothing of the parent is used or closed: an epoll descriptor is shared over a fork, and
unregistering a socket in the child would deafen the parent. The inherited objects are kept, untouched.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redisom_lite.engine.address import Address, HostPort
from redisom_lite.engine.node import Endpoint
from redisom_lite.engine.transport import StepTransport, Transport

if TYPE_CHECKING:
    from redisom_lite.engine.embedded import EmbeddedServer

DEFAULT_TIMEOUT: Final = 5.0

_GRACE: Final = 1.0
_inherited: Final[list[Any]] = []
_everyone: Final[weakref.WeakSet[Connections]] = weakref.WeakSet()


def open_transport(
    address: Address, *, timeout: float = DEFAULT_TIMEOUT, multiplex: bool = True, client: Any = None
) -> Transport:
    """Make the transport of an address for the running loop; it connects on first use.

    `timeout` is a step's, in seconds; `socket_timeout` in the URL wins over it. Without `multiplex`, and in
    memory, every call has one of redis-py's connections to itself. With `client`, a redis-py client of the
    user's, connections are made the way it makes them, and the address is not looked at.
    """
    # Here the driver is imported.
    from redisom_lite.engine import connection as driver
    from redisom_lite.engine.cluster import Cluster
    from redisom_lite.engine.multiplex import MultiplexedServer
    from redisom_lite.engine.plain import PlainServer

    timeout = float(address.option("socket_timeout") or timeout)
    limit = int(address.option("max_connections") or driver.MAX_CONNECTIONS)
    source = driver.Source(address, timeout) if client is None else driver.BorrowedSource(client)

    def open_server(node: HostPort | None = None) -> Endpoint:
        connector = source.connector(node)
        if multiplex and source.has_sockets:
            return MultiplexedServer(connector, limit=limit, timeout=timeout, follows=source.follows)
        return PlainServer(connector, limit=limit, follows=source.follows)

    endpoint = Cluster(source.nodes, open_server) if source.nodes else open_server()
    return StepTransport(endpoint, timeout=timeout, functions=source.has_sockets)  # memory has none


_throwaway: Final[dict[int, tuple[EmbeddedServer, set[object]]]] = {}
_throwaway_lock = threading.Lock()


def _nothing() -> None:
    pass


def _join(folder: str) -> tuple[EmbeddedServer, Callable[[], None]]:
    """The embedded server of a folder, or the process's throwaway one; and how to leave it: the last one stops it."""
    from redisom_lite.engine.embedded import start

    if folder:
        durable = start(Path(folder))
        return durable, durable.stop
    me, pid = object(), os.getpid()
    with _throwaway_lock:
        if pid not in _throwaway:
            _throwaway[pid] = start(None), set()
        server, users = _throwaway[pid]
        users.add(me)

    def leave() -> None:
        with _throwaway_lock:
            users.discard(me)
            if users or _throwaway.get(pid, (None,))[0] is not server:
                return
            del _throwaway[pid]
        server.stop()

    return server, leave


class Connections:
    """The transports and raw clients of one address, one of each per running loop.

    A `client` of the user's, if given, takes the address's place: it is the raw one, and stays his to close.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        multiplex: bool = True,
        client: Any = None,
    ) -> None:
        self.address = address
        self._client = client
        self._timeout = timeout
        self._multiplex = multiplex
        self._server: EmbeddedServer | None = None
        self._leave: Callable[[], None] = _nothing
        self._start()
        _everyone.add(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._latest: tuple[asyncio.AbstractEventLoop, Transport] | None = None

    def transport(self) -> Transport:
        """The transport of the running loop; it connects on first use."""
        running = asyncio.get_running_loop()
        latest = self._latest
        if latest is not None and latest[0] is running:
            return latest[1]
        transport = self._of(running).transport
        self._latest = running, transport
        return transport

    def redis(self) -> Any:
        """The raw redis-py client of the running loop; it connects on first use."""
        if self._client is not None:
            return self._client
        mine = self._of(asyncio.get_running_loop())
        if mine.client is None:
            from redisom_lite.engine.connection import client

            mine.client = client(self._resolved(), self._timeout)
        return mine.client

    def _of(self, running: asyncio.AbstractEventLoop) -> _Loop:
        with self._lock:
            mine = self._loops.get(running)
            if mine is None:
                for loop in [loop for loop in self._loops if loop.is_closed()]:
                    self._loops.pop(loop).abandon()
                transport = open_transport(
                    self._resolved(), timeout=self._timeout, multiplex=self._multiplex, client=self._client
                )
                mine = self._loops[running] = _Loop(transport)
            return mine

    def _resolved(self) -> Address:
        """Where to connect to: for an embedded server, which is started now if it is not yet, its socket."""
        if self.address.kind != "embedded" or self._client is not None:
            return self.address
        if self._server is None:
            self._server, self._leave = _join(self.address.path)
            weakref.finalize(self, self._leave)
        return replace(self.address, kind="socket", path=self._server.socket)

    async def aclose(self) -> None:
        """Close everything; each loop closes its own connections. Used again, it opens anew."""
        with self._lock:
            loops, self._loops, self._latest = self._loops, {}, None
            server, self._server = self._server, None
            leave = self._leave
        try:
            for loop, mine in loops.items():
                await _close(loop, mine)
        finally:
            if server is not None:
                leave()

    def start_anew(self) -> None:
        """In a forked child: let the parent's connections be."""
        _inherited.append((self._loops, self._server))
        self._start()
        if self._server is not None and self._server.folder is not None:
            self._server = None  # the child becomes a user of its own


class _Loop:
    """What belongs to one event loop: its transport, and its raw client if one was asked for."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.client: Any = None
        self._closed = False
        self._guard = self._until_the_loop_ends()
        with suppress(StopIteration):
            self._guard.__anext__().send(None)  # run it to its yield: that registers it with the loop

    async def _until_the_loop_ends(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self._end(grace=0)

    async def aclose(self) -> None:
        await self._end(grace=_GRACE)
        await self._guard.aclose()

    async def _end(self, *, grace: float) -> None:
        if self._closed:
            return
        self._closed = True
        await self.transport.aclose(grace)
        if self.client is not None:
            from redisom_lite.engine.connection import close_client

            await close_client(self.client)

    def abandon(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.transport.abandon()
        if self.client is not None:
            from redisom_lite.engine.connection import abandon_client

            abandon_client(self.client)


async def _close(loop: asyncio.AbstractEventLoop, mine: _Loop) -> None:
    if loop is asyncio.get_running_loop():
        await mine.aclose()
    elif loop.is_closed():
        mine.abandon()
    else:
        closing = asyncio.run_coroutine_threadsafe(mine.aclose(), loop)
        if loop.is_running():  # in another thread; a loop that stands still closes when it runs again
            await asyncio.wait([asyncio.wrap_future(closing)], timeout=2 * _GRACE)


def _after_fork() -> None:
    global _throwaway_lock
    _throwaway_lock = threading.Lock()  # another thread may have held it
    for connections in _everyone:
        connections.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
