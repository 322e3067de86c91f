"""The transport while things break: cut, slow, silent, garbled, killed, stopped, cancelled, forked."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from redisom_lite.engine import multiplex, transport as steps
from redisom_lite.engine.address import parse
from redisom_lite.engine.connection import Source
from redisom_lite.engine.embedded import start
from redisom_lite.engine.pool import Connections, open_transport
from redisom_lite.engine.scripts import from_text
from redisom_lite.engine.transport import StepTransport, Transport
from redisom_lite.engine.wire import Wire
from redisom_lite.errors import (
    AccessDeniedError,
    BackendError,
    BackendTimeoutError,
    DeclarationError,
    LoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    UnavailableError,
)
from tests.faults.proxy import Proxy
from tests.servers import command

ECHO = from_text("echo", b"return {KEYS[1], ARGV[1]}")
BUSY = from_text("busy", b"for n = 1, 2e6 do end return {KEYS[1], ARGV[1]}")
BIG = from_text("big", b"return string.rep('x', tonumber(ARGV[1]))")
SLOW = from_text(
    "slow",
    b"local t = redis.call('TIME') local till = t[1] * 1000000 + t[2] + ARGV[1] "
    b"repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] > till return 1",
)

kinds = pytest.mark.parametrize("multiplex", [True, False], ids=["multiplexed", "plain"])


@pytest.fixture
def socket(real_url: str) -> str:
    return parse(real_url).path


@pytest.fixture
async def proxy(socket: str) -> AsyncIterator[Proxy]:
    async with Proxy(socket) as running:
        yield running


@pytest.fixture(params=["multiplexed", "plain"])
async def transport(request: pytest.FixtureRequest, proxy: Proxy) -> AsyncIterator[Transport]:
    opened = open_transport(parse(proxy.url), timeout=2, multiplex=request.param == "multiplexed")
    yield opened
    await opened.aclose(0)


async def test_call_after_the_connection_was_cut_connects_again(transport: Transport, proxy: Proxy) -> None:
    await transport.call(ECHO, [b"k"], ["a"])
    await proxy.sever()
    await asyncio.sleep(0.02)
    assert await transport.call(ECHO, [b"k"], ["b"]) == [b"k", b"b"]
    assert proxy.accepted == 2


@pytest.mark.parametrize("after", range(0, 60, 7))
async def test_call_cut_anywhere_in_the_request_is_repeated(
    transport: Transport, proxy: Proxy, after: int
) -> None:
    await transport.call(ECHO, [b"k"], ["a"])
    proxy.cut_after_requests = after
    assert await transport.call(ECHO, [b"k"], ["b" * 100]) == [b"k", b"b" * 100]


@pytest.mark.parametrize("after", [0, 1, 5, 11, 17, 100])
async def test_call_cut_anywhere_in_the_reply_is_repeated(
    transport: Transport, proxy: Proxy, after: int
) -> None:
    await transport.call(ECHO, [b"k"], ["a"])
    proxy.cut_after_replies = after
    assert await transport.call(ECHO, [b"k"], ["b" * 100]) == [b"k", b"b" * 100]


async def test_commands_cut_in_the_reply_are_not_repeated(transport: Transport, proxy: Proxy) -> None:
    await transport.commands([("SET", "n", "0")])
    proxy.cut_after_replies = 1
    with pytest.raises(UnavailableError) as caught:
        await transport.commands([("INCR", "n")])
    assert caught.value.outcome == "unknown"
    assert await transport.commands([("GET", "n")]) == [b"1"]


async def test_commands_that_may_be_repeated_are(transport: Transport, proxy: Proxy) -> None:
    await transport.commands([("SET", "n", "7")])
    proxy.cut_after_replies = 1
    assert await transport.commands([("GET", "n"), ("PING",)], retry=True) == [b"7", b"PONG"]


async def test_commands_that_were_never_sent_are_sent_again(transport: Transport, proxy: Proxy) -> None:
    proxy.refusing = True
    asyncio.get_running_loop().call_later(0.2, setattr, proxy, "refusing", False)
    assert await transport.commands([("INCR", "n")]) == [1]


async def test_call_to_no_server_fails_at_the_deadline_without_effect() -> None:
    transport = open_transport(parse("redis://127.0.0.1:1"), timeout=1)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="refused") as caught:
        await transport.call(ECHO, [b"k"], ["a"])
    assert caught.value.outcome == "none"
    assert 0.3 < time.monotonic() - began < 30
    assert isinstance(caught.value.__cause__, Exception)
    await transport.aclose()


async def test_calls_to_no_server_do_not_storm_it(proxy: Proxy) -> None:
    proxy.refusing = True
    transport = open_transport(parse(proxy.url), timeout=1)
    outcomes = await asyncio.gather(
        *(transport.call(ECHO, [b"k"], [i]) for i in range(200)), return_exceptions=True
    )
    assert all(isinstance(it, UnavailableError) and it.outcome == "none" for it in outcomes)
    assert proxy.accepted < 60
    await transport.aclose()


async def test_first_call_to_a_server_that_is_back_is_answered(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)  # the longest pauses there can be, at once
    for module in (steps, multiplex):
        monkeypatch.setattr(module, "_FIRST_PAUSE", 10)
        monkeypatch.setattr(module, "_LONGEST_PAUSE", 10)
    transport = open_transport(parse(proxy.url), timeout=1.5)
    proxy.refusing = True
    for i in range(2):
        with pytest.raises(UnavailableError):
            await transport.call(ECHO, [b"k"], [i])
    refused = proxy.accepted
    last = asyncio.create_task(transport.call(ECHO, [b"k"], ["a"]))
    while proxy.accepted == refused:  # noqa: ASYNC110 - the proxy has no event for it
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    last.cancel()
    proxy.refusing = False
    assert await transport.call(ECHO, [b"k"], ["b"]) == [b"k", b"b"]
    await transport.aclose()


async def test_call_without_an_answer_times_out_and_later_ones_work(
    transport: Transport, proxy: Proxy
) -> None:
    await transport.call(ECHO, [b"k"], ["a"])
    proxy.hang()
    began = time.monotonic()
    with pytest.raises(BackendTimeoutError) as caught:
        await transport.call(ECHO, [b"k"], ["b"])
    assert caught.value.outcome == "unknown"
    assert 1.9 < time.monotonic() - began < 3.9  # a repetition would take until 4
    proxy.resume()
    assert await transport.call(ECHO, [b"k"], ["c"]) == [b"k", b"c"]


async def test_call_to_a_server_silent_from_the_start_times_out_without_effect(
    transport: Transport, proxy: Proxy
) -> None:
    proxy.hang()
    with pytest.raises(BackendTimeoutError):
        await transport.call(ECHO, [b"k"], ["b"])


@kinds
async def test_call_to_a_stopped_server_times_out_and_recovers(multiplex: bool) -> None:
    server = start()
    pid = int(
        next(line for line in command(server.socket, "INFO server").splitlines() if "process_id" in line)[11:]
    )
    transport = open_transport(parse(server.url), timeout=1.5, multiplex=multiplex)
    await transport.call(ECHO, [b"k"], ["a"])
    os.kill(pid, signal.SIGSTOP)
    try:
        outcomes = await asyncio.gather(
            *(transport.call(ECHO, [b"k"], [i]) for i in range(20)), return_exceptions=True
        )
        # the first late one ends a shared connection: who called a moment later lost that, and has no time for another
        assert type(outcomes[0]) is BackendTimeoutError
        later = {UnavailableError} if multiplex else set()
        assert {type(it) for it in outcomes} <= {BackendTimeoutError} | later
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await transport.call(ECHO, [b"k"], ["b"]) == [b"k", b"b"]
    await transport.aclose()
    server.stop()


async def test_nobody_connects_after_the_deadline(tmp_path: Path) -> None:
    """A caller that waited in vain for its turn does not begin, for redis-py may lose its cancellation on the way."""
    met: list[bool] = []

    def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(True)
        writer.close()

    listening = await asyncio.start_unix_server(meet, path=str(tmp_path / "s"))
    async with listening:
        connector = Source(parse(f"unix://{tmp_path}/s"), 1.0).connector()
        with pytest.raises(BackendTimeoutError) as caught:
            await connector.connect(asyncio.get_running_loop().time())
        await asyncio.sleep(0.05)
    assert caught.value.outcome == "none"
    assert not met


@kinds
async def test_calls_survive_a_restart_of_the_server(tmp_path: Any, multiplex: bool) -> None:
    first = start(tmp_path)
    connections = Connections(parse(f"embedded://{tmp_path}"), multiplex=multiplex)
    transport = connections.transport()
    assert await transport.call(ECHO, [b"k"], ["a"]) == [b"k", b"a"]
    command(first.socket, "CLIENT KILL TYPE normal")
    assert await transport.call(ECHO, [b"k"], ["b"]) == [b"k", b"b"]
    await connections.aclose()
    first.stop()


async def test_calls_while_clients_are_killed_all_get_their_replies(real_url: str, socket: str) -> None:
    transport = open_transport(parse(real_url), timeout=60)
    stop, dice = threading.Event(), random.Random(5)

    def kill() -> None:
        while not stop.wait(dice.choice([0.005, 0.01, 0.1])):  # a busy machine needs a while for 200 calls
            command(socket, "CLIENT KILL TYPE normal SKIPME yes")

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for _ in range(20):
            replies = await asyncio.gather(*(transport.call(ECHO, [b"k"], [i]) for i in range(200)))
            assert [int(reply[1]) for reply in replies] == list(range(200))
    finally:
        stop.set()
        killer.join()
    await transport.aclose()


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 50, b"*-7\r\n", b":x\r\n"]
)
async def test_call_answered_with_garbage_is_repeated(
    transport: Transport, proxy: Proxy, garbage: bytes
) -> None:
    await transport.call(ECHO, [b"k"], ["a"])
    proxy.replace_reply = garbage
    assert await transport.call(ECHO, [b"k"], ["b"]) == [b"k", b"b"]


async def test_reply_nobody_asked_for_ends_the_connection(proxy: Proxy) -> None:
    transport = open_transport(parse(proxy.url))
    await transport.call(ECHO, [b"k"], ["a"])
    proxy.replace_reply = b"*2\r\n$1\r\nk\r\n$1\r\nb\r\n+STRAY\r\n"
    assert await transport.call(ECHO, [b"k"], ["b"]) == [b"k", b"b"]
    await asyncio.sleep(0.02)
    assert await transport.call(ECHO, [b"k"], ["c"]) == [b"k", b"c"]
    assert proxy.accepted == 2
    await transport.aclose()


async def test_reply_resumes_its_caller_while_it_is_read(
    real_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: ContextVar[str] = ContextVar("said")
    seen: list[str] = []
    transport = open_transport(parse(real_url))
    await transport.call(ECHO, [b"k"], ["a"])
    read = Wire.buffer_updated

    def watched(wire: Wire, nbytes: int) -> None:
        read(wire, nbytes)
        seen.append("read")

    async def caller() -> None:
        said.set("its own context")
        await transport.call(ECHO, [b"k"], ["b"])
        seen.append(said.get("another"))

    monkeypatch.setattr(Wire, "buffer_updated", watched)
    await asyncio.create_task(caller())
    assert seen == ["its own context", "read"]
    await transport.aclose()


async def test_reply_nobody_asked_for_is_not_given_to_who_calls_at_once(proxy: Proxy) -> None:
    transport = open_transport(parse(proxy.url))
    await transport.call(ECHO, [b"k"], ["a"])
    proxy.replace_reply = b"*2\r\n$1\r\nk\r\n$1\r\nb\r\n+STRAY\r\n"
    assert await transport.call(ECHO, [b"k"], ["b"]) == [b"k", b"b"]
    assert await transport.call(ECHO, [b"k"], ["c"]) == [b"k", b"c"]
    assert proxy.accepted == 2
    await transport.aclose()


async def test_caller_that_closes_as_it_is_resumed_takes_no_reply_from_others(real_url: str) -> None:
    transport = open_transport(parse(real_url))
    await transport.call(ECHO, [b"k"], ["a"])

    async def closing() -> None:
        await transport.call(ECHO, [b"k"], [0])
        await transport.aclose(0)

    async def one(number: int) -> None:
        try:
            assert await transport.call(ECHO, [b"k"], [number]) == [b"k", str(number).encode()]
        except BackendError:  # closed before its reply came
            return

    await asyncio.wait_for(asyncio.gather(closing(), *(one(number) for number in range(1, 50))), 5)


async def test_replies_read_within_a_task_reach_the_others(real_url: str) -> None:
    transport = open_transport(parse(real_url))
    assert isinstance(transport, StepTransport)
    await transport.call(ECHO, [b"k"], ["a"])
    wire: Any = transport._endpoint._wire  # type: ignore[attr-defined] # to read for it
    wire._transport.pause_reading()
    asking = asyncio.create_task(transport.commands([("PING",)]))
    await asyncio.sleep(0)
    answer = b"+READ HERE\r\n"
    wire.get_buffer(-1)[: len(answer)] = answer
    wire.buffer_updated(len(answer))
    assert await asking == [b"READ HERE"]
    wire.close()
    await transport.aclose()


def test_task_that_ends_the_program_keeps_no_reply_from_others(real_url: str) -> None:
    replies: list[Any] = []
    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        transport = open_transport(parse(real_url))
        await transport.call(ECHO, [b"k"], ["a"])

        async def ending() -> None:
            await transport.call(ECHO, [b"k"], [0])
            raise SystemExit

        async def other() -> None:
            replies.append(await transport.call(ECHO, [b"k"], [1]))
            await transport.aclose()

        tasks.extend(asyncio.create_task(one()) for one in (ending, other))
        await asyncio.wait(tasks)

    loop = asyncio.new_event_loop()
    with pytest.raises(SystemExit):
        loop.run_until_complete(main())
    assert isinstance(tasks[0].exception(), SystemExit)
    loop.run_until_complete(asyncio.wait_for(asyncio.gather(*asyncio.all_tasks(loop)), 5))
    loop.close()
    assert replies == [[b"k", b"1"]]


@pytest.mark.parametrize(
    ("text", "kind"), [(b"LOADING Redis is loading", LoadingError), (b"TRYAGAIN x", LoadingError)]
)
async def test_call_refused_for_the_moment_is_repeated(
    transport: Transport, proxy: Proxy, text: bytes, kind: type[BackendError]
) -> None:
    await transport.call(ECHO, [b"k"], ["a"])
    proxy.replace_reply = b"-" + text + b"\r\n"
    assert await transport.call(ECHO, [b"k"], ["b"]) == [b"k", b"b"]
    proxy.replace_reply = b"-" + text + b"\r\n"
    if "LOADING" in str(text):  # redis-py ends the connection over it
        return
    assert isinstance((await transport.commands([("PING",)]))[0], kind)


async def test_session_cut_in_the_middle_is_unknown_and_its_connection_discarded(
    transport: Transport, proxy: Proxy
) -> None:
    async def transact() -> None:
        async with transport.session() as session:
            await session.send("WATCH", "k")
            await session.send_many([("MULTI",), ("INCR", "k")])
            proxy.cut_after_replies = 1
            await session.send("EXEC")

    with pytest.raises(UnavailableError) as caught:
        await transact()
    assert caught.value.outcome == "unknown"
    async with transport.session() as session:
        assert await session.send("GET", "k") == b"1"


async def test_caller_cancelled_while_connecting_leaves_it_to_the_next(
    transport: Transport, proxy: Proxy
) -> None:
    proxy.hang()
    calls = [asyncio.create_task(transport.call(ECHO, [b"k"], [i])) for i in range(5)]
    await asyncio.sleep(0.02)
    for call in calls[:4]:
        call.cancel()
        await asyncio.sleep(0.01)
    proxy.resume()
    assert await calls[4] == [b"k", b"4"]
    assert all(call.cancelled() for call in calls[:4])


async def test_session_after_its_idle_connection_was_cut_gets_another(
    transport: Transport, proxy: Proxy
) -> None:
    async with transport.session() as session:
        await session.send("PING")
    await proxy.sever()
    await asyncio.sleep(0.02)
    async with transport.session() as session:
        assert await session.send("PING") == b"PONG"


async def test_transport_vanished_under_asyncio_becomes_unavailable(real_url: str) -> None:
    transport = open_transport(parse(real_url))
    assert isinstance(transport, StepTransport)
    await transport.call(ECHO, [b"k"], ["a"])
    wire = transport._endpoint._wire  # type: ignore[attr-defined] # to break it from inside

    def vanished(data: bytes) -> None:
        raise TypeError("'NoneType' object is not callable")

    wire._transport = type("Gone", (), {"write": staticmethod(vanished), "abort": wire._transport.abort})()
    with pytest.raises(UnavailableError) as caught:
        await transport.commands([("PING",)])
    assert isinstance(caught.value.__cause__, TypeError)
    assert await transport.commands([("PING",)]) == [b"PONG"]
    await transport.aclose()


@kinds
async def test_cancellation_storm_never_mixes_replies(real_url: str, multiplex: bool) -> None:
    transport = open_transport(parse(real_url), multiplex=multiplex)
    chance = random.Random(7)
    total = 6000 if multiplex else 1500
    finished = cancelled = 0

    async def one(number: int) -> None:
        # in every second round one keeps the server busy for ms, so that those behind it are cancelled while they wait
        script = BUSY if number % 600 == 310 else ECHO
        assert await transport.call(script, [b"k"], [number]) == [b"k", str(number).encode()]

    for base in range(0, total, 300):
        tasks = [asyncio.create_task(one(base + i)) for i in range(300)]
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        for task in tasks:
            if chance.random() < 0.5:
                task.cancel()
            if chance.random() < 0.02:
                await asyncio.sleep(0)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError)
            finished += outcome is None
            cancelled += outcome is not None
    assert min(finished, cancelled) > total / 20
    assert await transport.call(ECHO, [b"k"], ["end"]) == [b"k", b"end"]
    await transport.aclose()


async def test_cancelled_call_not_written_yet_is_never_sent(real_url: str) -> None:
    transport = open_transport(parse(real_url))
    await transport.commands([("SET", "n", "0")])
    first = asyncio.ensure_future(transport.commands([("INCR", "n")]))
    second = asyncio.ensure_future(transport.commands([("INCR", "n")]))
    asyncio.get_running_loop().call_soon(second.cancel)
    await asyncio.wait([first, second])
    assert second.cancelled()
    assert await transport.commands([("GET", "n")]) == [b"1"]
    await transport.aclose()


async def test_cancelled_sessions_leave_no_connection_behind(real_url: str) -> None:
    transport = open_transport(parse(f"{real_url}&max_connections=5"))
    chance = random.Random(3)

    async def one() -> None:
        async with transport.session() as session:
            await session.send("WATCH", "k")
            await session.send_many([("MULTI",), ("INCR", "k"), ("EXEC",)])

    for _ in range(30):
        tasks = [asyncio.create_task(one()) for _ in range(20)]
        for _task in tasks:
            await asyncio.sleep(chance.random() * 0.0005)
            chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(20):
        for _ in range(10):
            await one()
    await transport.aclose()


@kinds
async def test_reply_of_fifty_megabytes_arrives_and_others_with_it(proxy: Proxy, multiplex: bool) -> None:
    transport = open_transport(parse(proxy.url), timeout=30, multiplex=multiplex)
    size = 50_000_000
    big, *small = await asyncio.gather(
        transport.call(BIG, [], [size]), *(transport.call(ECHO, [b"k"], [i]) for i in range(50))
    )
    assert len(big) == size
    assert [int(reply[1]) for reply in small] == list(range(50))
    await transport.aclose()


@kinds
async def test_request_of_fifty_megabytes_arrives(proxy: Proxy, multiplex: bool) -> None:
    transport = open_transport(parse(proxy.url), timeout=30, multiplex=multiplex)
    value = random.Random(1).randbytes(50_000_000)
    assert (await transport.call(ECHO, [b"k"], [value]))[1] == value
    await transport.aclose()


async def test_requests_faster_than_the_line_wait_in_order_and_in_bounds(proxy: Proxy) -> None:
    transport = open_transport(parse(proxy.url), timeout=60)
    assert isinstance(transport, StepTransport)
    await transport.call(ECHO, [b"k"], ["warm"])
    wire: Any = transport._endpoint._wire  # type: ignore[attr-defined] # to look at its buffer
    proxy.delay, proxy.piece = 0.001, 1 << 20
    done: list[int] = []
    peak = 0

    async def one(number: int) -> None:
        nonlocal peak
        value = bytes([number % 256]) * 100_000
        assert (await transport.call(ECHO, [b"k"], [value]))[1] == value
        done.append(number)
        peak = max(peak, wire._transport.get_write_buffer_size(), wire._unanswered)

    await asyncio.gather(*(one(i) for i in range(400)))
    assert done == sorted(done)
    assert peak < 12_000_000
    await transport.aclose()


async def test_wire_silent_for_long_is_asked_before_it_is_trusted(proxy: Proxy) -> None:
    transport = open_transport(parse(proxy.url), timeout=5)
    assert isinstance(transport, StepTransport)
    await transport.call(ECHO, [b"k"], ["a"])
    wire: Any = transport._endpoint._wire  # type: ignore[attr-defined] # to age it
    wire.heard_at -= 1000
    assert await transport.call(ECHO, [b"k"], ["b"]) == [b"k", b"b"]
    assert proxy.accepted == 1
    wire.heard_at -= 1000
    proxy.hang()
    asking = asyncio.create_task(transport.call(ECHO, [b"k"], ["c"]))
    while proxy.accepted == 1:  # noqa: ASYNC110 - the PING has a second
        await asyncio.sleep(0.001)
    proxy.resume()
    assert await asking == [b"k", b"c"]
    assert proxy.accepted == 2
    await transport.aclose()


async def test_deadline_shorter_than_others_is_kept(proxy: Proxy) -> None:
    transport = open_transport(parse(proxy.url), timeout=5)
    async with transport.session() as session:
        with pytest.raises(BackendTimeoutError):
            await session.send("BLPOP", "q", "0", timeout=0.2)
    await transport.aclose()


@kinds
async def test_write_to_a_replica_is_read_only_soon(multiplex: bool) -> None:
    with start() as server:
        transport = open_transport(parse(server.url), multiplex=multiplex)
        await transport.commands([("REPLICAOF", "127.0.0.1", "1")])
        began = time.monotonic()
        with pytest.raises(ReadOnlyError) as caught:
            await transport.call(from_text("t", b"return redis.call('SET', KEYS[1], 'v')"), [b"k"], [])
        assert caught.value.outcome == "none"
        assert time.monotonic() - began < 4  # without waiting for the deadline
        assert await transport.call(from_text("t", b"return redis.call('GET', KEYS[1])"), [b"k"], []) is None
        await transport.aclose()


@kinds
async def test_write_at_maxmemory_is_out_of_memory(multiplex: bool) -> None:
    with start() as server:
        transport = open_transport(parse(server.url), multiplex=multiplex)
        await transport.commands([("CONFIG", "SET", "maxmemory", "1")])
        with pytest.raises(OutOfMemoryError) as caught:
            await transport.call(from_text("t", b"return redis.call('SET', KEYS[1], 'v')"), [b"k"], [])
        assert caught.value.outcome == "none"
        (refusal,) = await transport.commands([("SET", "k", "v")])
        assert isinstance(refusal, OutOfMemoryError)
        await transport.aclose()


@kinds
async def test_wrong_password_is_denied_at_once_and_not_shown(socket: str, multiplex: bool) -> None:
    transport = open_transport(parse(f"unix://default:hunter2@{socket}"), multiplex=multiplex)
    command(socket, "ACL SETUSER default >right resetpass >right")
    try:
        with pytest.raises(AccessDeniedError) as caught:
            async with asyncio.timeout(4):
                await transport.call(ECHO, [b"k"], ["v"])
    finally:
        right = open_transport(parse(f"unix://default:right@{socket}"))
        await right.commands([("ACL", "SETUSER", "default", "nopass")])
        await right.aclose()
    assert caught.value.outcome == "none"
    assert "hunter2" not in str(caught.value)
    await transport.aclose()


@kinds
async def test_forbidden_command_is_denied(socket: str, multiplex: bool) -> None:
    command(socket, "ACL SETUSER bob on >pw ~x* +@all -set")
    transport = open_transport(parse(f"unix://bob:pw@{socket}"), multiplex=multiplex)
    (refusal,) = await transport.commands([("SET", "x", "1")])
    assert isinstance(refusal, AccessDeniedError)
    with pytest.raises(AccessDeniedError):
        await transport.call(from_text("t", b"return redis.call('SET', KEYS[1], 'v')"), [b"x"], [])
    with pytest.raises(AccessDeniedError):
        await transport.call(ECHO, [b"other"], ["v"])
    await transport.aclose()


async def test_server_busy_with_a_script_is_waited_for(real_url: str, socket: str) -> None:
    command(socket, "CONFIG SET busy-reply-threshold 50")
    one, two = open_transport(parse(real_url)), open_transport(parse(real_url))
    await two.commands([("PING",)])
    slow = asyncio.ensure_future(one.call(SLOW, [], [400_000]))
    await asyncio.sleep(0.1)
    assert await two.call(ECHO, [b"k"], ["v"]) == [b"k", b"v"]
    assert await slow == 1
    command(socket, "CONFIG SET busy-reply-threshold 5000")
    await one.aclose()
    await two.aclose()


async def test_unknown_option_in_the_url_is_a_declaration_error(real_url: str) -> None:
    transport = open_transport(parse(f"{real_url}&sokcet_timeout=3"))
    with pytest.raises(DeclarationError, match="sokcet_timeout"):
        await transport.commands([("PING",)])
    with pytest.raises(DeclarationError):
        open_transport(parse("redis://h?health_check_interval=often"))
