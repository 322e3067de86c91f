"""The transport on a cluster of three: routing, redirections, moving slots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from redisom_lite.engine import transport as steps
from redisom_lite.engine.address import parse
from redisom_lite.engine.cluster import slot_of
from redisom_lite.engine.pool import Connections, open_transport
from redisom_lite.engine.scripts import from_text
from redisom_lite.engine.transport import StepTransport, Transport
from redisom_lite.errors import BackendError, CrossSlotError, UnavailableError
from tests import processes

ECHO = from_text("echo", b"return {KEYS[1], ARGV[1]}")
INCR = from_text("incr", b"return redis.call('INCRBY', KEYS[1], ARGV[1])")
KEPT = from_text(
    "kept",
    b"--@function\nlocal function main(keys, args)\n  return redis.call('INCRBY', keys[1], args[1])\nend\n",
)
KEYS = [f"k{i}".encode() for i in range(60)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Cluster]:
    with processes.cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(autouse=True)
def empty(cluster: processes.Cluster) -> None:
    for node in cluster.nodes:
        node.command("FLUSHALL")


@pytest.fixture(params=["multiplexed", "plain"])
async def transport(request: pytest.FixtureRequest, cluster: processes.Cluster) -> AsyncIterator[Transport]:
    opened = open_transport(parse(cluster.url), multiplex=request.param == "multiplexed")
    yield opened
    await opened.aclose()


async def test_calls_with_keys_everywhere_reach_their_nodes(
    transport: Transport, cluster: processes.Cluster
) -> None:
    replies = await asyncio.gather(*(transport.call(INCR, [key], [1]) for key in KEYS))
    assert replies == [1] * len(KEYS)
    assert sum(int(node.command("DBSIZE")) for node in cluster.nodes) == len(KEYS)


async def test_functions_are_kept_by_every_node_and_come_back_when_one_lost_them(
    transport: Transport, cluster: processes.Cluster
) -> None:
    def called() -> list[bool]:
        return ["cmdstat_fcall:" in node.command("INFO", "commandstats") for node in cluster.nodes]

    for node in cluster.nodes:
        node.command("FUNCTION", "FLUSH")
        node.command("CONFIG", "RESETSTAT")
    for round_ in (1, 2):
        assert await asyncio.gather(*(transport.call(KEPT, [key], [1]) for key in KEYS)) == [round_] * len(
            KEYS
        )
    assert all(called())
    cluster.nodes[0].command("FUNCTION", "FLUSH")
    for round_ in (3, 4, 5):
        assert await asyncio.gather(*(transport.call(KEPT, [key], [1]) for key in KEYS)) == [round_] * len(
            KEYS
        )
    assert "kept" in cluster.nodes[0].command("FUNCTION", "LIST")


async def test_commands_with_keys_everywhere_reply_in_order(transport: Transport) -> None:
    await transport.commands([("SET", key, i) for i, key in enumerate(KEYS)])
    replies = await transport.commands([*(("GET", key) for key in KEYS), ("HGET", KEYS[0], "f"), ("PING",)])
    assert replies[:-2] == [str(i).encode() for i in range(len(KEYS))]
    assert isinstance(replies[-2], BackendError)
    assert replies[-1] == b"PONG"


async def test_call_with_keys_in_two_slots_is_refused_before_it_is_sent(transport: Transport) -> None:
    with pytest.raises(CrossSlotError):
        await transport.call(INCR, [b"a", b"b"], [1])
    assert await transport.commands([("EXISTS", "a")]) == [0]


async def test_session_by_key_is_with_its_primary(transport: Transport) -> None:
    for key in KEYS[:10]:
        async with transport.session(key) as session:
            await session.send("WATCH", key)
            assert await session.send_many([("MULTI",), ("INCR", key), ("EXEC",)]) == [b"OK", b"QUEUED", [1]]


async def test_calls_after_a_slot_moved_away_follow(transport: Transport, cluster: processes.Cluster) -> None:
    key = b"{moved}"
    slot = slot_of(key)
    source = cluster.nodes[slot * 3 // 16384]
    target = cluster.nodes[(cluster.nodes.index(source) + 1) % 3]
    assert await transport.call(INCR, [key], [1]) == 1
    cluster.begin_move(slot, source, target)
    cluster.move_keys(slot, source, target)
    try:
        # In between: by ASK, while the slot is still the source's.
        assert await transport.call(INCR, [key], [1]) == 2
        assert await transport.commands([("GET", key), ("PING",)]) == [b"2", b"PONG"]
        replies = await asyncio.gather(*(transport.call(INCR, [key], [1]) for _ in range(200)))
        assert sorted(replies) == list(range(3, 203))
        cluster.end_move(slot, target)
        # After: by MOVED.
        assert await transport.call(INCR, [key], [1]) == 203
        async with transport.session(key) as session:
            assert await session.send("GET", key) == b"203"
    finally:
        cluster.begin_move(slot, target, source)
        cluster.move_keys(slot, target, source)
        cluster.end_move(slot, source)


async def test_session_with_an_outdated_map_fails_once_and_then_succeeds(
    transport: Transport, cluster: processes.Cluster
) -> None:
    key = b"{outdated}"
    slot = slot_of(key)
    source = cluster.nodes[slot * 3 // 16384]
    target = cluster.nodes[(cluster.nodes.index(source) + 1) % 3]
    assert await transport.commands([("EXISTS", key)]) == [0]
    cluster.begin_move(slot, source, target)
    cluster.end_move(slot, target)
    try:
        async with transport.session(key) as session:
            with pytest.raises(UnavailableError, match="MOVED"):
                await session.send("WATCH", key)
        async with transport.session(key) as session:
            assert await session.send("WATCH", key) == b"OK"
    finally:
        cluster.begin_move(slot, target, source)
        cluster.end_move(slot, source)


async def test_calls_while_connections_are_killed_all_succeed(
    transport: Transport, cluster: processes.Cluster
) -> None:
    async def kill() -> None:
        for node in cluster.nodes:
            await asyncio.to_thread(node.command, "CLIENT", "KILL", "TYPE", "normal")

    for _ in range(5):
        killing = asyncio.create_task(kill())
        replies = await asyncio.gather(*(transport.call(ECHO, [key], ["v"]) for key in KEYS))
        assert replies == [[key, b"v"] for key in KEYS]
        await killing


async def test_call_through_a_plain_url_names_the_cure(
    cluster: processes.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    for pause in ("_FIRST_PAUSE", "_LONGEST_PAUSE"):  # longer than the step: it is tried once more, at once
        monkeypatch.setattr(steps, pause, 10)
    transport = open_transport(parse(f"redis://127.0.0.1:{cluster.nodes[0].port}"))
    away = next(key for key in KEYS if slot_of(key) > 16384 // 3 + 1)
    with pytest.raises(UnavailableError, match=r"redis\+cluster"):
        await transport.call(ECHO, [away], ["v"])
    await transport.aclose()


async def test_first_node_away_is_made_up_for_by_the_next(cluster: processes.Cluster) -> None:
    transport = open_transport(parse(f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.nodes[1].port}"))
    assert await transport.call(ECHO, [b"k"], ["v"]) == [b"k", b"v"]
    await transport.aclose()


async def test_cluster_away_is_unavailable() -> None:
    transport = open_transport(parse("redis+cluster://127.0.0.1:1,127.0.0.1:2"), timeout=1)
    with pytest.raises(UnavailableError) as caught:
        await transport.call(ECHO, [b"k"], ["v"])
    assert caught.value.outcome == "none"
    await transport.aclose()


async def test_raw_client_and_the_user_s_own_work(cluster: processes.Cluster) -> None:
    connections = Connections(parse(cluster.url))
    raw = connections.redis()
    assert await asyncio.gather(*(raw.set(key, "v") for key in KEYS)) == [True] * len(KEYS)
    transport = open_transport(parse("memory://"), client=raw)
    assert await transport.commands([("GET", key) for key in KEYS]) == [b"v"] * len(KEYS)
    await transport.aclose()
    await connections.aclose()


async def test_share_of_a_node_that_breaks_makes_the_whole_unknown(
    cluster: processes.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = open_transport(parse(cluster.url))
    assert isinstance(transport, StepTransport)
    await transport.commands([("SET", key, "0") for key in KEYS])
    endpoint: Any = transport._endpoint
    broken = next(iter(endpoint._servers.values()))

    async def many(*_: object) -> list[Any]:
        raise UnavailableError("never sent", outcome="none")

    monkeypatch.setattr(broken, "many", many)
    with pytest.raises(UnavailableError) as caught:
        await transport.commands([("INCR", key) for key in KEYS])
    assert caught.value.outcome == "unknown"
    await transport.aclose()
