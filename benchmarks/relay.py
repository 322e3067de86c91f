"""A relay between a contender and its server that counts round trips. Nothing is timed through it.

It holds what a client sends until the client has been silent for a moment, and passes it on in one piece: a round trip
of that connection. Connections that send at the same time count each for itself.
"""

from __future__ import annotations

import selectors
import socket
import tempfile
import threading
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

_SILENCE = 0.003


class Relay:
    """A unix socket in front of the server at `url`. `with` ends it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._folder = tempfile.TemporaryDirectory(prefix="relay-")
        self._path = Path(self._folder.name, "socket")
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(self._path))
        self._door.listen(256)
        self._lock = threading.Lock()
        self._trips = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: int) -> str:
        """The address to give to the contender."""
        return f"unix://{self._path}?db={database}"

    def take(self) -> int:
        """Round trips since the last call."""
        with self._lock:
            taken, self._trips = self._trips, 0
            return taken

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _connected(self) -> socket.socket:
        if self._parts.scheme == "unix":
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._parts.path)
            return server
        return socket.create_connection((self._parts.hostname or "localhost", self._parts.port or 6379))

    def _serve(self, client: socket.socket) -> None:
        with client, self._connected() as server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            held = bytearray()
            try:
                while True:
                    ready = {key.fileobj for key, _ in selector.select(_SILENCE if held else None)}
                    if server in ready:
                        if not (data := server.recv(1 << 20)):
                            return
                        client.sendall(data)
                    if client in ready:
                        if not (data := client.recv(1 << 20)):
                            return
                        held += data
                    elif held and not ready:
                        with self._lock:
                            self._trips += 1
                        server.sendall(held)
                        held.clear()
            except OSError:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()
        self._folder.cleanup()
