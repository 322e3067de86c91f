"""Transports and event loops: several loops, threads and processes, and what is left of each."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from redisom_lite.engine.address import parse
from redisom_lite.engine.pool import Connections
from redisom_lite.engine.scripts import from_text
from tests.servers import command

ECHO = from_text("echo", b"return {KEYS[1], ARGV[1]}")

kinds = pytest.mark.parametrize("multiplex", [True, False], ids=["multiplexed", "plain"])


@pytest.fixture
def socket(real_url: str) -> str:
    """The server's socket; nobody is connected, as what is left of earlier tests would go at any time."""
    path = parse(real_url).path
    gc.collect()
    wait_for(lambda: clients(path) == 0)
    return path


def clients(socket: str) -> int:
    return command(socket, "CLIENT LIST").count(" addr=") - 1


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@kinds
def test_connections_through_several_loops_leave_none_behind(
    real_url: str, socket: str, multiplex: bool
) -> None:
    connections = Connections(parse(real_url), multiplex=multiplex)
    before = clients(socket)

    async def use() -> None:
        transport = connections.transport()
        assert transport is connections.transport()
        await asyncio.gather(*(transport.call(ECHO, [b"k"], [i]) for i in range(10)))
        async with transport.session() as session:
            await session.send("PING")
        await connections.redis().ping()
        assert clients(socket) > before

    for _ in range(3):
        asyncio.run(use())
    gc.collect()
    wait_for(lambda: clients(socket) == before)


@kinds
def test_connections_of_a_loop_closed_without_ceremony_are_closed_by_the_next(
    real_url: str, socket: str, multiplex: bool
) -> None:
    connections = Connections(parse(real_url), multiplex=multiplex)
    before = clients(socket)

    async def use() -> None:
        await connections.transport().call(ECHO, [b"k"], ["v"])
        async with connections.transport().session() as session:
            await session.send("PING")
        await connections.redis().ping()

    for _ in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(use())
        loop.close()
    asyncio.run(connections.aclose())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(it.message) for it in caught if "loop" not in str(it.message)] == []
    wait_for(lambda: clients(socket) == before)


def test_connections_in_several_threads_are_separate(real_url: str, socket: str) -> None:
    connections = Connections(parse(real_url))
    failures: list[BaseException] = []

    async def use() -> None:
        transport = connections.transport()
        for i in range(200):
            assert await transport.call(ECHO, [b"k"], [i]) == [b"k", str(i).encode()]

    def run() -> None:
        try:
            asyncio.run(use())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_connections_closed_from_another_loop_close_everywhere(real_url: str, socket: str) -> None:
    connections = Connections(parse(real_url))
    before = clients(socket)
    ready, leave = threading.Event(), threading.Event()

    async def use() -> None:
        await connections.transport().call(ECHO, [b"k"], ["v"])
        ready.set()
        await asyncio.to_thread(leave.wait)

    thread = threading.Thread(target=asyncio.run, args=[use()])
    thread.start()
    ready.wait()
    asyncio.run(connections.aclose())
    wait_for(lambda: clients(socket) == before)
    leave.set()
    thread.join()


async def test_connections_dropped_while_the_loop_runs_close(real_url: str, socket: str) -> None:
    before = clients(socket)
    connections = Connections(parse(real_url))
    await connections.transport().call(ECHO, [b"k"], ["v"])
    del connections
    gc.collect()
    async with asyncio.timeout(20):
        while clients(socket) != before:  # noqa: ASYNC110 - the server's event
            await asyncio.sleep(0.01)


async def test_connections_used_after_close_open_anew(real_url: str) -> None:
    connections = Connections(parse(real_url))
    for _ in range(2):
        assert await connections.transport().call(ECHO, [b"k"], ["v"]) == [b"k", b"v"]
        await connections.aclose()


@kinds
async def test_forked_child_connects_anew_and_leaves_the_parent_alone(real_url: str, multiplex: bool) -> None:
    connections = Connections(parse(real_url), multiplex=multiplex)
    transport = connections.transport()
    await transport.call(ECHO, [b"k"], ["parent"])
    under_way = [asyncio.ensure_future(transport.call(ECHO, [b"k"], [i])) for i in range(20)]
    await asyncio.sleep(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons about fork and threads
        pid = os.fork()
    if pid == 0:
        status = 1
        try:

            async def child() -> None:
                assert connections.transport() is not transport
                for i in range(50):
                    reply = await connections.transport().call(ECHO, [b"k"], [1000 + i])
                    assert reply == [b"k", str(1000 + i).encode()]
                await connections.aclose()

            asyncio.run(child())
            status = 0
        finally:
            os._exit(status)
    replies = await asyncio.gather(*under_way)
    assert [int(reply[1]) for reply in replies] == list(range(20))
    for i in range(50):
        assert await transport.call(ECHO, [b"k"], [i]) == [b"k", str(i).encode()]
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert status == 0
    await connections.aclose()


def test_embedded_server_is_started_once_and_stopped_at_the_close() -> None:
    connections = Connections(parse("embedded://"))

    async def use() -> int:
        return int((await connections.transport().commands([("INCR", "n")]))[0])

    assert [asyncio.run(use()), asyncio.run(use())] == [1, 2]
    assert connections._server is not None
    path = connections._server.socket
    asyncio.run(connections.aclose())
    assert not Path(path).exists()
