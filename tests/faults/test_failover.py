"""A sentinel's primary: found, followed when it changes, waited for when it is gone."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from subprocess import PIPE

import pytest

from redisom_lite import Database
from redisom_lite.engine.address import parse
from redisom_lite.engine.pool import Connections, open_transport
from redisom_lite.engine.scripts import from_text
from redisom_lite.errors import UnavailableError
from redisom_lite.transaction import Transaction
from tests.integration.bank import Account
from tests.processes import Process, run, wait_for

INCR = from_text("incr", b"return redis.call('INCRBY', KEYS[1], ARGV[1])")

kinds = pytest.mark.parametrize("multiplex", [True, False], ids=["multiplexed", "plain"])


class Watched:
    """A primary, a replica and one sentinel."""

    def __init__(self, first: Process, second: Process, sentinel: Process) -> None:
        self.servers = (first, second)
        self.sentinel = sentinel

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/main/0"

    def primary(self) -> Process:
        """Where the sentinel sends clients: GET-MASTER-ADDR-BY-NAME would be a little ahead of that."""
        words = self.sentinel.command("SENTINEL", "MASTER", "main").splitlines()
        port = dict(zip(words[::2], words[1::2], strict=False))["port"]
        return next(server for server in self.servers if server.port == int(port))

    def fail_over(self) -> None:
        """Have the sentinel begin to make the replica the primary."""
        words = ("SENTINEL", "FAILOVER", "main")
        wait_for(lambda: self.sentinel.command(*words) == "OK", "the begin of a failover")

    def depose(self, old: Process) -> None:
        """Make what was the primary a replica, and let nobody stay: the sentinel does so some ten seconds later."""
        steps = f"MULTI\nREPLICAOF 127.0.0.1 {self.primary().port}\nCLIENT KILL TYPE normal\nEXEC\n"
        subprocess.run(["redis-cli", "-p", str(old.port)], input=steps, text=True, check=True, stdout=PIPE)


@pytest.fixture
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("sentinel")
    with ExitStack() as stack:
        first = stack.enter_context(run(folder / "first", "--repl-diskless-sync-delay", "0"))
        second = stack.enter_context(run(folder / "second", "--replicaof", f"127.0.0.1 {first.port}"))
        wait_for(lambda: "master_link_status:up" in second.command("INFO", "replication"), "replication")
        (folder / "sentinel").mkdir()
        (folder / "sentinel" / "server.conf").write_text(
            f"sentinel monitor main 127.0.0.1 {first.port} 1\n"
            "sentinel down-after-milliseconds main 60000\nsentinel failover-timeout main 3000\n"
        )
        sentinel = stack.enter_context(run(folder / "sentinel", sentinel=True))
        replicas = ("SENTINEL", "REPLICAS", "main")
        wait_for(lambda: "master-link-status\nok" in sentinel.command(*replicas), "the sentinel's survey")
        yield Watched(first, second, sentinel)


@kinds
async def test_writes_through_a_failover_go_on(watched: Watched, multiplex: bool) -> None:
    transport = open_transport(parse(watched.url), timeout=60, multiplex=multiplex)
    old, counts = watched.primary(), [0]

    async def write() -> None:
        counts.append(await transport.call(INCR, [b"n"], [1]))

    await write()
    await asyncio.to_thread(watched.fail_over)
    while await asyncio.to_thread(watched.primary) is old:
        await write()
    await asyncio.to_thread(watched.depose, old)
    for _ in range(100):
        await write()
    # what only the old primary was told is lost with it, and nothing else
    assert sum(after != before + 1 for before, after in pairwise(counts)) <= 1
    assert watched.primary().command("GET", "n") == str(counts[-1])
    await transport.aclose()


@kinds
async def test_writes_after_the_primary_died_go_to_its_heir(watched: Watched, multiplex: bool) -> None:
    transport = open_transport(parse(watched.url), timeout=60, multiplex=multiplex)
    await transport.call(INCR, [b"n"], [1])
    assert await transport.commands([("WAIT", "1", "30000")]) == [1]
    old = watched.primary()
    watched.sentinel.command("SENTINEL", "SET", "main", "down-after-milliseconds", "300")
    old.popen.kill()
    assert await transport.call(INCR, [b"n"], [1]) == 2
    assert await asyncio.to_thread(watched.primary) is not old
    await transport.aclose()


@kinds
async def test_mapper_through_a_failover_goes_on_and_stays_consistent(
    watched: Watched, multiplex: bool
) -> None:
    async with Database(watched.url, timeout=60, multiplex=multiplex) as db:
        db.bind(Account)
        for name in "ab":
            await Account(id=name, balance=1000).insert()
        for server in watched.servers:
            there = partial(server.command, "EXISTS", "{bank}/account:r:b")
            await asyncio.to_thread(wait_for, lambda there=there: there() == "1", "replication")
        old = watched.primary()

        @db.atomic(retries=50)
        async def move(tx: Transaction) -> None:
            a, b = await tx.get(Account, "a"), await tx.get(Account, "b")
            a.balance -= 1
            b.balance += 1
            tx.save(a, b)

        async def move_five() -> int:
            await asyncio.gather(*(move() for _ in range(5)))
            return 5

        await asyncio.to_thread(watched.fail_over)
        moved = 0
        while await asyncio.to_thread(watched.primary) is old:
            moved += await move_five()
        await asyncio.to_thread(watched.depose, old)
        for _ in range(10):
            moved += await move_five()
        # the last writes to the old primary may be lost with it, but none by half
        assert sum([account.balance async for account in Account.objects.find()]) == 2000
        assert 1000 < (await Account.objects.get("b")).balance <= 1000 + moved
        assert (await Account.objects.check()).ok


async def test_raw_client_of_a_sentinel_serves_hundreds_at_once(watched: Watched) -> None:
    connections = Connections(parse(watched.url), timeout=60)
    raw = connections.redis()
    assert sorted(await asyncio.gather(*(raw.incr("n") for _ in range(400)))) == list(range(1, 401))
    transport = open_transport(parse("memory://"), client=raw)
    assert await transport.call(INCR, [b"n"], [1]) == 401
    await transport.aclose()
    await connections.aclose()


async def test_service_unknown_to_the_sentinel_is_unavailable(watched: Watched) -> None:
    transport = open_transport(parse(watched.url.replace("/main", "/other")), timeout=1)
    with pytest.raises(UnavailableError) as caught:
        await transport.call(INCR, [b"n"], [1])
    assert caught.value.outcome == "none"
    await transport.aclose()
