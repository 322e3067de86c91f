"""The transport over TLS, on uvloop, for tasks of any kind, and with a client of the user's own."""

from __future__ import annotations

import asyncio
import gc
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis.asyncio

from redisom_lite import Database
from redisom_lite.engine.address import parse
from redisom_lite.engine.pool import Connections, open_transport
from redisom_lite.engine.scripts import from_text
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import BackendError, DeclarationError, UnavailableError
from tests import processes

ECHO = from_text("echo", b"return {KEYS[1], ARGV[1]}")
BIG = from_text("big", b"return string.rep('x', tonumber(ARGV[1]))")

kinds = pytest.mark.parametrize("multiplex", [True, False], ids=["multiplexed", "plain"])


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server that speaks TLS: its URL, and the certificate to trust."""
    folder = tmp_path_factory.mktemp("tls")
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    port = processes.free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    options += ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"]
    with processes.run(folder / "server", *options):
        yield f"rediss://127.0.0.1:{port}/0", certificate


@kinds
def test_tls_through_several_loops_works_and_leaves_nothing(tls: tuple[str, Path], multiplex: bool) -> None:
    url, certificate = tls
    connections = Connections(parse(f"{url}?ssl_ca_certs={certificate}"), timeout=60, multiplex=multiplex)

    async def use() -> None:
        transport = connections.transport()
        replies = await asyncio.gather(*(transport.call(ECHO, [b"k"], [i]) for i in range(200)))
        assert [int(reply[1]) for reply in replies] == list(range(200))
        assert len(await transport.call(BIG, [], [5_000_000])) == 5_000_000
        assert (await transport.call(ECHO, [b"k"], [b"y" * 5_000_000]))[1] == b"y" * 5_000_000
        async with transport.session() as session:
            assert await session.send("PING") == b"PONG"
        assert await connections.redis().ping()

    for _ in range(2):
        asyncio.run(use())
    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    loop.close()
    asyncio.run(use())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(it.message) for it in caught if "loop" not in str(it.message)] == []


@kinds
async def test_tls_without_trust_is_unavailable(tls: tuple[str, Path], multiplex: bool) -> None:
    transport = open_transport(parse(tls[0]), timeout=30, multiplex=multiplex)
    with pytest.raises(UnavailableError, match="certificate") as caught:
        await transport.commands([("PING",)])
    assert caught.value.outcome == "none"
    await transport.aclose()


@kinds
async def test_tls_where_none_is_spoken_is_unavailable(
    real_url: str, multiplex: bool, tmp_path: Path
) -> None:
    with processes.run(tmp_path) as plain:
        transport = open_transport(
            parse(f"rediss://127.0.0.1:{plain.port}"), timeout=0.5, multiplex=multiplex
        )
        with pytest.raises(BackendError) as caught:  # both sides wait for the other to begin
            await transport.commands([("PING",)])
        assert caught.value.outcome == "none"
        await transport.aclose()


@pytest.mark.parametrize("debug", [False, True], ids=["quiet", "debug"])
@pytest.mark.parametrize("kind", ["plain", "of one context", "eager", "written in Python"])
def test_tasks_of_any_kind_get_their_own_replies(
    real_url: str, kind: str, debug: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "written in Python":
        monkeypatch.setattr(asyncio, "Task", asyncio.tasks._PyTask)  # type: ignore[attr-defined] # a debugger's
        monkeypatch.setattr(asyncio.tasks, "Task", asyncio.Task)
    eager: Any = getattr(asyncio, "eager_task_factory", None)
    if kind == "eager" and eager is None:
        pytest.skip("eager tasks are newer")

    async def one(transport: Transport, number: int) -> None:
        for n in range(number, number + 5):
            assert await transport.call(ECHO, [b"k"], [n]) == [b"k", str(n).encode()]

    async def use() -> None:
        if kind == "eager":
            asyncio.get_running_loop().set_task_factory(eager)
        context = copy_context() if kind == "of one context" else None
        transport = open_transport(parse(real_url))
        tasks = [asyncio.create_task(one(transport, n * 5), context=context) for n in range(40)]
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        with anyio.move_on_after(0.01) as scope:
            while True:
                await one(transport, 3)
        assert scope.cancelled_caught
        await one(transport, 4)
        await transport.aclose()

    with asyncio.Runner(debug=debug) as runner:
        runner.run(use())


@kinds
def test_uvloop_through_several_loops_works(real_url: str, multiplex: bool) -> None:
    uvloop = pytest.importorskip("uvloop")
    connections = Connections(parse(real_url), multiplex=multiplex)

    async def use() -> None:
        transport = connections.transport()
        replies = await asyncio.gather(*(transport.call(ECHO, [b"k"], [i]) for i in range(300)))
        assert [int(reply[1]) for reply in replies] == list(range(300))
        assert len(await transport.call(BIG, [], [5_000_000])) == 5_000_000
        async with transport.session() as session:
            assert await session.send("PING") == b"PONG"

    for _ in range(2):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(use())
    asyncio.run(connections.aclose())


@kinds
def test_uvloop_with_tls_works(tls: tuple[str, Path], multiplex: bool) -> None:
    uvloop = pytest.importorskip("uvloop")
    url, certificate = tls

    async def use() -> None:
        transport = open_transport(
            parse(f"{url}?ssl_ca_certs={certificate}"), timeout=60, multiplex=multiplex
        )
        replies = await asyncio.gather(*(transport.call(ECHO, [b"k"], [i]) for i in range(300)))
        assert [int(reply[1]) for reply in replies] == list(range(300))
        assert len(await transport.call(BIG, [], [5_000_000])) == 5_000_000
        await transport.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(use())


@kinds
@pytest.mark.parametrize("options", [{}, {"decode_responses": True}, {"protocol": 3}, {"db": 5}])
async def test_client_of_the_user_lends_its_settings(
    real_url: str, options: dict[str, int], multiplex: bool
) -> None:
    own = redis.asyncio.Redis(unix_socket_path=parse(real_url).path, client_name="own", **options)
    connections = Connections(parse("memory://"), client=own, multiplex=multiplex)
    transport = connections.transport()
    assert await transport.call(ECHO, [b"k"], ["v"]) == [b"k", b"v"]
    (info,) = await transport.commands([("CLIENT", "INFO")])
    assert b" name=own " in info
    assert f" db={options.get('db', 0)} ".encode() in info
    assert connections.redis() is own
    await connections.aclose()
    assert await own.ping()
    await own.aclose()


async def test_client_of_fakeredis_shares_its_data() -> None:
    fakeredis = pytest.importorskip("fakeredis")
    own = fakeredis.FakeAsyncRedis()
    connections = Connections(parse("memory://"), client=own)
    await own.set("k", "v")
    assert await connections.transport().commands([("GET", "k")]) == [b"v"]
    await connections.aclose()
    await own.aclose()


async def test_memory_of_one_name_is_shared_by_all_and_by_no_other(lane: str) -> None:
    if lane != "memory":
        pytest.skip("about memory://")
    one, two, other = (Connections(parse(url)) for url in ("memory://one", "memory://one", "memory://other"))
    await one.transport().commands([("SET", "k", "v")])
    assert await two.transport().commands([("GET", "k")]) == [b"v"]
    assert await two.redis().get("k") == b"v"
    assert await other.transport().commands([("GET", "k")]) == [None]
    for connections in (one, two, other):
        await connections.aclose()


async def test_raw_client_serves_hundreds_at_once(url: str) -> None:
    connections = Connections(parse(url), timeout=60)
    raw = connections.redis()
    assert sorted(await asyncio.gather(*(raw.incr("n") for _ in range(500)))) == list(range(1, 501))
    await connections.aclose()


@pytest.mark.parametrize("timeout", [0, -1, None, "5", True, float("inf"), float("nan"), 10**400])
def test_timeout_that_cannot_be_is_a_declaration_error(timeout: Any) -> None:
    with pytest.raises(DeclarationError, match="timeout"):
        Database("memory://", timeout=timeout)
