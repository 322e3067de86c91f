"""A TCP proxy before a server's unix socket, that can be told to fail: byte by byte, in either direction.

    async with Proxy(server.socket) as proxy:
        transport = open_transport(parse(proxy.url))
        proxy.cut_after_replies = 10     # let ten bytes of replies through, then cut

It runs in the loop of the test; whatever it forwards, it forwards in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class Proxy:
    """Forwards connections, and counts them; every setting is in force at once, for old connections too."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._links: set[asyncio.Task[None]] = set()
        self._moving = asyncio.Event()
        self._moving.set()
        self.accepted = 0
        self.requested = 0
        self.replied = 0
        self.refusing = False
        """Close new connections at once."""
        self.delay = 0.0
        """Seconds each piece is held back."""
        self.piece = 65536
        """Bytes forwarded at once."""
        self.cut_after_requests: int | None = None
        """Bytes of requests still to forward before all connections are cut."""
        self.cut_after_replies: int | None = None
        """Bytes of replies still to forward before all connections are cut."""
        self.replace_reply: bytes | None = None
        """Sent once, in place of the next piece of replies."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.resume()
        self.cut()
        await asyncio.gather(*self._links, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Cut every connection, as a cable would be."""
        for link in self._links:
            link.cancel()

    async def sever(self) -> None:
        """Cut every connection; done when both ends can know of it."""
        links = [*self._links]
        self.cut()
        await asyncio.gather(*links, return_exceptions=True)

    def hang(self) -> None:
        """Forward nothing more, and take nothing more from either side."""
        self._moving.clear()

    def resume(self) -> None:
        self._moving.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            writer.transport.abort()
            return
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        with contextlib.suppress(OSError):
            server_reader, server_writer = await asyncio.open_unix_connection(self._socket)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._forward(reader, server_writer, "requests"))
                    both.create_task(self._forward(server_reader, writer, "replies"))
            except* (OSError, EOFError, asyncio.CancelledError):
                pass
            finally:
                self._links.discard(link)
                for end in (writer, server_writer):
                    end.transport.abort()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, what: str) -> None:
        while data := await source.read(self.piece):
            await self._moving.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            if what == "replies" and self.replace_reply is not None:
                data, self.replace_reply = self.replace_reply, None
            left = self.cut_after_requests if what == "requests" else self.cut_after_replies
            if left is not None and len(data) >= left:
                self.cut_after_requests = self.cut_after_replies = None
                sink.write(data[:left])
                await sink.drain()
                await asyncio.sleep(0.005)  # let it arrive
                self.cut()
                raise EOFError
            if left is not None and what == "requests":
                self.cut_after_requests = left - len(data)
            elif left is not None:
                self.cut_after_replies = left - len(data)
            if what == "requests":
                self.requested += len(data)
            else:
                self.replied += len(data)
            sink.write(data)
            await sink.drain()
        raise EOFError
