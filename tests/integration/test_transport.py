"""The transport seam on every lane, multiplexed and plain: what it promises while nothing breaks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from redisom_lite import Database
from redisom_lite.engine.address import parse
from redisom_lite.engine.pool import open_transport
from redisom_lite.engine.scripts import from_text
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import BackendError, BackendTimeoutError
from tests.integration.bank import Account
from tests.servers import command

ECHO = from_text("echo", b"return {KEYS[1], ARGV[1]}")
INCR = from_text("incr", b"return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture(params=["multiplexed", "plain"])
async def transport(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Transport]:
    opened = open_transport(parse(url), multiplex=request.param == "multiplexed")
    yield opened
    await opened.aclose()


async def test_call_of_an_unknown_script_loads_it(transport: Transport) -> None:
    await transport.commands([("SCRIPT", "FLUSH")])
    assert await transport.call(ECHO, [b"k"], ["v"]) == [b"k", b"v"]
    (known,) = await transport.commands([("SCRIPT", "EXISTS", ECHO.sha)])
    assert known == [1]


@pytest.mark.parametrize("word", [b"\x00\xff\r\n", "ü", "", 2**80, -1])
async def test_call_with_any_word_sends_it_whole(transport: Transport, word: bytes | str | int) -> None:
    expected = word if isinstance(word, bytes) else str(word).encode()
    assert await transport.call(ECHO, [b"k"], [word]) == [b"k", expected]


async def test_call_with_a_wrong_type_is_a_type_error_and_harms_nothing(transport: Transport) -> None:
    with pytest.raises(TypeError):
        await transport.call(ECHO, [b"k"], [None])  # type: ignore[list-item] # what is tested
    assert await transport.call(ECHO, [b"k"], ["v"]) == [b"k", b"v"]


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (b"return 1", 1),
        (b"return {1, 'a', {2, false}}", [1, b"a", [2, None]]),
        (b"return false", None),
        (b"return redis.status_reply('fine')", b"fine"),
        (b"return {}", []),
    ],
)
async def test_call_of_any_reply_returns_it(transport: Transport, text: bytes, reply: object) -> None:
    assert await transport.call(from_text("t", text), [], []) == reply


async def test_call_that_fails_in_the_script_raises_its_code(transport: Transport) -> None:
    await transport.commands([("SET", "s", "1")])
    script = from_text("t", b"return redis.call('HGET', KEYS[1], 'f')")
    with pytest.raises(BackendError) as caught:
        await transport.call(script, [b"s"], [])
    assert (caught.value.code, caught.value.outcome) == ("WRONGTYPE", "none")
    assert caught.value.__cause__ is not None


async def test_call_with_an_error_reply_of_the_script_raises_its_code(transport: Transport) -> None:
    with pytest.raises(BackendError) as caught:
        await transport.call(from_text("t", b"return redis.error_reply('MYCODE why')"), [], [])
    assert caught.value.code == "MYCODE"


async def test_calls_in_hundreds_of_tasks_get_their_own_replies(transport: Transport) -> None:
    replies = await asyncio.gather(*(transport.call(ECHO, [b"k"], [i]) for i in range(500)))
    assert [int(reply[1]) for reply in replies] == list(range(500))


async def test_calls_of_one_task_are_run_in_order(transport: Transport) -> None:
    assert [await transport.call(INCR, [b"n"], [1]) for _ in range(5)] == [1, 2, 3, 4, 5]


async def test_commands_reply_in_order_with_errors_in_place(transport: Transport) -> None:
    first, refusal, last = await transport.commands([("SET", "s", "1"), ("HGET", "s", "f"), ("GET", "s")])
    assert (first, last) == (b"OK", b"1")
    assert isinstance(refusal, BackendError)
    assert refusal.code == "WRONGTYPE"


async def test_commands_none_at_all_reply_nothing(transport: Transport) -> None:
    assert await transport.commands([]) == []


async def test_commands_many_and_large_come_back_whole(transport: Transport) -> None:
    value = b"x" * 100_000
    await transport.commands([("SET", f"k{i}", value + str(i).encode()) for i in range(100)])
    replies = await transport.commands([("GET", f"k{i}") for i in range(100)])
    assert replies == [value + str(i).encode() for i in range(100)]


async def test_session_sees_a_conflict(transport: Transport) -> None:
    async with transport.session() as session:
        await session.send("WATCH", "k")
        await transport.commands([("SET", "k", "theirs")])
        replies = await session.send_many([("MULTI",), ("SET", "k", "mine"), ("EXEC",)])
    assert replies == [b"OK", b"QUEUED", None]
    assert await transport.commands([("GET", "k")]) == [b"theirs"]


async def test_session_without_a_conflict_commits(transport: Transport) -> None:
    async with transport.session() as session:
        await session.send("WATCH", "k")
        await session.send_many([("MULTI",), ("SET", "k", "mine")])
        assert await session.send("EXEC") == [b"OK"]


async def test_session_with_a_refusal_inside_exec_gives_it_in_place(transport: Transport) -> None:
    async with transport.session() as session:
        *_, (refusal, number) = await session.send_many(
            [
                ("MULTI",),
                ("SET", "k", "1"),
                ("EXEC",),
                ("MULTI",),
                ("HGET", "k", "f"),
                ("INCR", "k"),
                ("EXEC",),
            ]
        )
    assert isinstance(refusal, BackendError)
    assert number == 2


async def test_session_send_of_a_refused_command_raises_and_stays_usable(transport: Transport) -> None:
    async with transport.session() as session:
        await session.send("SET", "k", "1")
        with pytest.raises(BackendError, match="WRONGTYPE"):
            await session.send("HGET", "k", "f")
        assert await session.send("GET", "k") == b"1"


class Stop(Exception):
    pass


@pytest.mark.parametrize("first", [("WATCH", "k"), ("MULTI",), ("SELECT", "1")])
async def test_session_left_dirty_by_an_error_is_not_lent_again(
    transport: Transport, first: tuple[str, ...]
) -> None:
    async def stop() -> None:
        async with transport.session() as session:
            await session.send(*first)
            raise Stop

    with pytest.raises(Stop):
        await stop()
    await transport.commands([("SET", "k", "0")])
    async with transport.session() as session:
        assert await session.send("GET", "k") == b"0"
        assert await session.send_many([("MULTI",), ("INCR", "k"), ("EXEC",)]) == [b"OK", b"QUEUED", [1]]


async def test_session_left_clean_is_lent_again(transport: Transport) -> None:
    ids = []
    for _ in range(3):
        async with transport.session() as session:
            await session.send("WATCH", "k")
            await session.send("UNWATCH")
            ids.append(id(session._line))  # type: ignore[attr-defined] # which connection it is
    assert len(set(ids)) == 1


async def test_sessions_at_once_have_connections_of_their_own(transport: Transport) -> None:
    async with transport.session() as one, transport.session() as two:
        await one.send("MULTI")
        assert await two.send("SET", "k", "1") == b"OK"
        await one.send("DISCARD")


async def test_session_blocking_longer_than_a_step_waits(url: str) -> None:
    transport = open_transport(parse(url), timeout=1)
    async with transport.session() as session:
        waiting = asyncio.ensure_future(session.send("BLPOP", "q", "60", timeout=math.inf))
        await asyncio.sleep(1.2)
        await transport.commands([("RPUSH", "q", "job")])
        assert await waiting == [b"q", b"job"]
    await transport.aclose()


async def test_session_blocking_beyond_its_timeout_is_a_timeout(url: str) -> None:
    transport = open_transport(parse(url))
    with pytest.raises(BackendTimeoutError) as caught:
        async with transport.session() as session:
            await session.send("BLPOP", "q", "5", timeout=0.1)
    assert caught.value.outcome == "unknown"
    await transport.aclose()


async def test_session_cancelled_while_blocking_takes_nothing(transport: Transport, lane: str) -> None:
    async def consume() -> None:
        async with transport.session() as session:
            await session.send("BLPOP", "q", "0", timeout=math.inf)

    task = asyncio.create_task(consume())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.05)
    blocked = lane != "memory"
    while blocked:  # until the server notices the closed connection
        (clients,) = await transport.commands([("INFO", "clients")])
        blocked = b"blocked_clients:0" not in clients
    await transport.commands([("RPUSH", "q", "job")])
    assert await transport.commands([("LLEN", "q")]) == [1]


async def test_sessions_beyond_the_limit_wait_for_their_turn(url: str) -> None:
    transport = open_transport(parse(f"{url}{'&' if '?' in url else '?'}max_connections=2"))
    if url.startswith("memory"):
        pytest.skip("memory:// takes no options")

    async def transact() -> None:
        async with transport.session() as session:
            await session.send_many([("MULTI",), ("INCR", "n"), ("EXEC",)])

    await asyncio.gather(*(transact() for _ in range(50)))
    assert await transport.commands([("GET", "n")]) == [b"50"]
    await transport.aclose()


async def test_sessions_beyond_the_limit_time_out_naming_it(real_url: str) -> None:
    transport = open_transport(parse(f"{real_url}&max_connections=1"), timeout=1)
    async with transport.session():
        with pytest.raises(BackendTimeoutError, match="max_connections") as caught:
            async with transport.session():
                pass
    assert caught.value.outcome == "none"
    await transport.aclose()


async def test_thousand_gets_and_saves_at_once_take_one_connection_and_few_trips(real_url: str) -> None:
    async with Database(real_url) as db:
        db.bind(Account)
        await Account.objects.save_many([Account(id=str(n)) for n in range(1000)])
        await Account.objects.get("0")
        before = await db.redis.info("stats")
        found = await asyncio.gather(*(Account.objects.get(str(n)) for n in range(1000)))
        await asyncio.gather(*(account.inc(balance=1) for account in found))
        after = await db.redis.info("stats")
        assert [account.id for account in found] == [str(n) for n in range(1000)]
        assert await Account.objects.find(Account.balance == 101).count() == 1000
        assert after["total_connections_received"] == before["total_connections_received"]
        if "total_reads_processed" in after:
            assert after["total_reads_processed"] - before["total_reads_processed"] < 100


async def test_thousand_gets_without_sharing_take_few_connections(real_url: str) -> None:
    async with Database(real_url, multiplex=False) as db:
        db.bind(Account)
        await Account.objects.save_many([Account(id=str(n)) for n in range(1000)])
        before = (await db.redis.info("stats"))["total_connections_received"]
        found = await asyncio.gather(*(Account.objects.get(str(n)) for n in range(1000)))
        assert [account.id for account in found] == [str(n) for n in range(1000)]
        assert (await db.redis.info("stats"))["total_connections_received"] - before <= 16


async def test_close_lets_what_is_under_way_finish(transport: Transport) -> None:
    waiting = [asyncio.ensure_future(transport.call(ECHO, [b"k"], [i])) for i in range(50)]
    await asyncio.sleep(0)  # the server does not know the script: each needs a second attempt
    await transport.aclose(grace=60)
    assert [int(reply[1]) for reply in await asyncio.gather(*waiting)] == list(range(50))


async def test_closed_transport_refuses_at_once(transport: Transport) -> None:
    await transport.commands([("PING",)])
    await transport.aclose()
    with pytest.raises(BackendError, match="closed"):
        async with asyncio.timeout(4):  # sooner than a step's time is up
            await transport.call(ECHO, [b"k"], ["v"])


async def test_url_with_credentials_and_database_uses_both(real_url: str) -> None:
    socket = parse(real_url).path
    command(socket, "ACL SETUSER alice on >s3cret ~* +@all")
    transport = open_transport(parse(f"unix://alice:s3cret@{socket}?db=3&client_name=mine"))
    await transport.commands([("SET", "k", "1")])
    (info,) = await transport.commands([("CLIENT", "LIST")])
    assert b" name=mine " in info
    assert b" user=alice " in info
    assert b" db=3 " in info
    await transport.aclose()
