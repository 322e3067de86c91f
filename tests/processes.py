"""Servers that need more than a unix socket: TLS, sentinels, clusters. Each on a private port, gone with its `with`."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Process:
    """A running redis-server."""

    port: int
    folder: Path
    popen: subprocess.Popen[bytes]

    def command(self, *words: str) -> str:
        """Send one command over a connection of its own; the reply as redis-cli prints it."""
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    @property
    def ended(self) -> bool:
        return self.popen.poll() is not None

    def answers(self) -> bool:
        """Whether it is this server that answers at its port, and has loaded its data."""
        ours = f"process_id:{self.popen.pid}" in self.command("INFO", "server").splitlines()
        return ours and self.command("PING") == "PONG"


def free_port() -> int:
    """A port nothing listens on; a cluster node needs the one 10000 above too.

    Both are below what systems give to outgoing connections: else one of those may have it when the server starts, or
    a client that looks for the server may meet itself.
    """
    while True:
        with socket.socket() as one, socket.socket() as two, contextlib.suppress(OSError):
            port = random.SystemRandom().randrange(11_000, 22_000)
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 10_000))
            return port


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            if condition():
                return
        time.sleep(0.02)
    raise TimeoutError(f"{what} took longer than {seconds:g} s")


@contextlib.contextmanager
def run(folder: Path, *options: str, port: int | None = None, sentinel: bool = False) -> Iterator[Process]:
    """Run a server with `options` until the end of the block; without `port` on any that is free."""
    binary = shutil.which("redis-server", path="/usr/bin") or shutil.which("redis-server")
    if binary is None or not shutil.which("redis-cli"):
        pytest.skip("needs redis-server and redis-cli")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "server.conf"
    if not config.exists():
        config.write_text("")
    words = [binary, str(config), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options]
    if sentinel:
        words.append("--sentinel")
    with contextlib.ExitStack() as stack:
        for left in reversed(range(1 if port else 4)):
            process = stack.enter_context(_started(words, folder, port or free_port()))
            wait_for(lambda process=process: process.ended or process.answers(), "the start of a server")
            if not process.ended:
                break
            if not left:  # nor was it for a port that was taken meanwhile
                pytest.fail(f"a server ended as it started: {(folder / 'log').read_text()}")
        yield process


@contextlib.contextmanager
def _started(words: Sequence[str], folder: Path, port: int) -> Iterator[Process]:
    with (folder / "log").open("ab") as log:
        popen = subprocess.Popen([*words, "--port", str(port)], stdout=log, stderr=log)
    try:
        yield Process(port, folder, popen)
    finally:
        popen.kill()
        popen.wait()


class Cluster:
    """Three primaries, one third of the slots each."""

    def __init__(self, nodes: list[Process]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def id_of(self, node: Process) -> str:
        return node.command("CLUSTER", "MYID")

    def begin_move(self, slot: int, source: Process, target: Process) -> None:
        """Put a slot into migration."""
        target.command("CLUSTER", "SETSLOT", str(slot), "IMPORTING", self.id_of(source))
        source.command("CLUSTER", "SETSLOT", str(slot), "MIGRATING", self.id_of(target))

    def move_keys(self, slot: int, source: Process, target: Process, count: int = 1000) -> None:
        for key in source.command("CLUSTER", "GETKEYSINSLOT", str(slot), str(count)).split():
            source.command("MIGRATE", "127.0.0.1", str(target.port), key, "0", "5000")

    def end_move(self, slot: int, target: Process) -> None:
        """Give a slot to `target` for good."""
        for node in (target, *(node for node in self.nodes if node is not target)):
            node.command("CLUSTER", "SETSLOT", str(slot), "NODE", self.id_of(target))


@contextlib.contextmanager
def cluster(folder: Path, size: int = 3) -> Iterator[Cluster]:
    """Run a cluster until the end of the block."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        nodes = [stack.enter_context(run(folder / str(i), *options)) for i in range(size)]
        for i, node in enumerate(nodes):
            slots = range(16384 * i // size, 16384 * (i + 1) // size)
            node.command("CLUSTER", "ADDSLOTSRANGE", str(slots[0]), str(slots[-1]))
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(i + 1))
        wait_for(lambda: _settled(nodes), "the cluster's agreement")
        yield Cluster(nodes)


def _settled(nodes: Sequence[Process]) -> bool:
    """Let nodes meet, as often as it takes: one that was held up may not have been met, or be given up already.

    The timeout is short for them to agree soon, and then long, so that no node is given up any more.
    """
    for node in nodes[1:]:
        nodes[0].command("CLUSTER", "MEET", "127.0.0.1", str(node.port))
    for timeout in ("1000", "60000"):
        for node in nodes:
            node.command("CONFIG", "SET", "cluster-node-timeout", timeout)
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: all(_agrees(node, len(nodes)) for node in nodes), "agreement", 5)
    return all(_agrees(node, len(nodes)) for node in nodes)


def _agrees(node: Process, size: int) -> bool:
    known = node.command("CLUSTER", "NODES")
    return (
        "cluster_state:ok" in node.command("CLUSTER", "INFO")
        and node.command("CLUSTER", "SLOTS").count("127.0.0.1") == size == len(known.splitlines())
        and "fail" not in known
    )
