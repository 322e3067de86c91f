"""Scripts kept by the server as functions: when they are, and that nothing depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from redisom_lite import Database, Key, Meta, Model, Range, Tag
from redisom_lite.errors import BackendError, ConflictError, OutOfMemoryError, QueryError
from redisom_lite.transaction import Transaction
from tests import processes, servers
from tests.servers import command

LANES = [lane for lane in servers.selected() if lane not in ("memory", "redis62")] or ["redis"]


class Coin(Model):
    """A record with a tag and a range."""

    meta = Meta(prefix="functions-coin")

    id: Key[str]
    metal: Tag[str]
    value: Range[int]


class Chip(Model):
    """As a coin, in two partitions."""

    meta = Meta(prefix="functions-chip", partitions=2)

    id: Key[str]
    metal: Tag[str]
    value: Range[int]


@pytest.fixture(params=LANES)
def server_url(request: pytest.FixtureRequest) -> str:
    if reason := servers.missing(request.param):
        pytest.skip(reason)
    url = servers.fresh_url(request.param)
    socket = servers.server(request.param).socket
    if "unknown command" in command(socket, "FUNCTION FLUSH"):
        pytest.skip("this server has no functions")
    for line in ("SCRIPT FLUSH", "CONFIG RESETSTAT", "ACL DELUSER app"):
        command(socket, line)
    return url


@pytest.fixture
async def db(server_url: str) -> AsyncIterator[Database]:
    async with Database(server_url) as opened:
        opened.bind(Coin)
        yield opened


async def work(n: int) -> None:
    """Every kind of call, on a record of its own."""
    coin = await Coin.objects.create(id=f"c{n}", metal="gold", value=n)
    await coin.inc(value=100)
    assert [found.id for found in await Coin.objects.find(Coin.metal == "gold", Coin.value == n + 100)] == [
        f"c{n}"
    ]
    assert await Coin.objects.find(Coin.value == n + 100).order_by(Coin.value).limit(1).values("id") == [
        {"id": f"c{n}"}
    ]
    await Coin.objects.delete(f"c{n}")


async def calls(db: Database, name: str) -> int:
    stats: dict[str, Any] = await db.redis.info("commandstats")
    return int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"])


async def libraries(db: Database) -> set[str]:
    found = await db.redis.function_list()
    return {bytes(one[1]).decode().rsplit("_", 1)[0] for one in found}


async def flush(db: Database, what: str) -> None:
    if what != "SCRIPT FLUSH":
        await db.redis.function_flush()
    if what != "FUNCTION FLUSH":
        await db.redis.script_flush()


async def test_server_keeps_what_was_called_and_is_asked_by_name_from_then_on(db: Database) -> None:
    await work(1)
    assert await libraries(db) == {"redisom_lite_find", "redisom_lite_apply"}
    scripts, functions = await calls(db, "evalsha"), await calls(db, "fcall")
    await work(2)
    assert await calls(db, "evalsha") == scripts
    assert await calls(db, "fcall") == functions + 5


async def test_first_call_takes_the_library_along_and_does_not_miss(db: Database) -> None:
    assert await Coin.objects.find(Coin.metal == "gold") == []
    assert await libraries(db) == {"redisom_lite_find"}
    assert [await calls(db, name) for name in ("function|load", "fcall", "evalsha", "eval")] == [1, 1, 0, 0]


async def test_callers_that_come_at_once_offer_a_library_once(db: Database) -> None:
    await asyncio.gather(*(work(n) for n in range(60)))
    assert await calls(db, "function|load") == 2


async def test_second_process_finds_the_functions_there(db: Database, server_url: str) -> None:
    await work(1)
    async with Database(server_url) as other:
        other.bind(Coin)
        await work(2)
        functions = await calls(db, "fcall")
        await work(3)
        assert await calls(db, "fcall") == functions + 5
        assert await libraries(db) == {"redisom_lite_find", "redisom_lite_apply"}


async def test_functions_flushed_are_offered_anew_and_no_call_fails(db: Database) -> None:
    await work(1)
    await db.redis.function_flush()
    await db.redis.script_flush()
    await work(2)
    await work(3)
    assert await libraries(db) == {"redisom_lite_find", "redisom_lite_apply"}


async def move(tx: Transaction) -> None:
    one = await tx.get(Coin, "one")
    one.value += 1
    tx.save(one)


async def test_transaction_commits_by_the_function(db: Database) -> None:
    await Coin(id="one", metal="gold", value=1).save()
    functions = await calls(db, "fcall")
    await db.atomic(move)()
    async with db.transaction() as tx:
        await move(tx)
    assert await calls(db, "fcall") == functions + 2
    assert (await Coin.objects.get("one")).value == 3


async def test_first_call_of_a_process_may_be_a_transaction(db: Database, server_url: str) -> None:
    await Coin(id="one", metal="gold", value=1).save()
    functions = await calls(db, "fcall")
    async with Database(server_url) as other:
        with pytest.raises(QueryError, match="another database"):
            await other.atomic(move)()
        other.bind(Coin)
        await other.atomic(move)()
    assert await calls(db, "fcall") == functions + 1


@pytest.mark.parametrize("flushed", ["FUNCTION FLUSH", "SCRIPT FLUSH", "both"])
async def test_transaction_after_a_flush_commits_in_one_run(db: Database, flushed: str) -> None:
    await Coin(id="one", metal="gold", value=1).save()
    await flush(db, flushed)
    for _ in range(2):
        async with db.transaction() as tx:
            await move(tx)
    assert (await Coin.objects.get("one")).value == 3
    assert (await Coin.objects.check()).ok


async def test_transaction_flushed_before_its_commit_writes_nothing_and_runs_again(db: Database) -> None:
    await Coin(id="one", metal="gold", value=1).save()
    runs = 0

    async def flushed_once(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await move(tx)
        if runs == 1:
            await flush(db, "both")

    await db.atomic(flushed_once)()
    assert (runs, (await Coin.objects.get("one")).value) == (2, 2)
    with pytest.raises(ConflictError):
        async with db.transaction() as tx:
            await move(tx)
            await flush(db, "both")
    assert (await Coin.objects.get("one")).value == 2
    assert (await Coin.objects.check()).ok


async def write_together(db: Database) -> list[int]:
    """Two saves and a delete in one round trip; the values that are left."""
    async with db.batch() as b:
        for name, value in (("one", 1), ("two", 2)):
            b.save(Coin(id=name, metal="gold", value=value))
    async with db.batch() as b:
        gone = b.delete(await Coin.objects.get("one"))
    assert gone.result
    assert (await Coin.objects.check()).ok
    return [coin.value for coin in await Coin.objects.find()]


async def test_batch_writes_by_the_function(db: Database) -> None:
    functions = await calls(db, "fcall")
    async with db.batch() as b:
        handles = [b.save(Coin(id=f"c{n}", metal="gold", value=n)) for n in range(5)]
    assert [handle.result.value for handle in handles] == list(range(5))
    assert await calls(db, "fcall") >= functions + 5


@pytest.mark.parametrize("flushed", ["FUNCTION FLUSH", "SCRIPT FLUSH", "both"])
async def test_batch_after_a_flush_writes_everything(db: Database, flushed: str) -> None:
    await work(1)
    await flush(db, flushed)
    assert await write_together(db) == [2]


async def test_batch_deletes_on_a_full_server(db: Database) -> None:
    await Coin(id="one", metal="gold", value=1).save()
    one = await Coin.objects.get("one")
    await db.redis.config_set("maxmemory", "1mb")
    try:
        async with db.batch() as b:
            saved, deleted = b.save(Coin(id="two", metal="gold", value=2)), b.delete(one)
    finally:
        await db.redis.config_set("maxmemory", "0")
    assert isinstance(saved.error, OutOfMemoryError)
    assert deleted.result
    assert await Coin.objects.find().count() == 0


@pytest.mark.parametrize("denied", ["-function", "-fcall", "-function -fcall", "-script", "-script -fcall"])
async def test_user_without_functions_commits_by_scripts(db: Database, server_url: str, denied: str) -> None:
    await Coin(id="one", metal="gold", value=1).save()
    socket = server_url.removeprefix("unix://").partition("?")[0]
    command(socket, f"ACL SETUSER app on >secret ~* &* +@all {denied}")
    async with Database(server_url.replace("unix://", "unix://app:secret@")) as limited:
        limited.bind(Coin)
        for _ in range(3):
            await limited.atomic(move)()
        assert (await Coin.objects.get("one")).value == 4
        assert await write_together(limited) == [2]


@pytest.mark.parametrize("denied", ["-function", "-fcall", "-function -fcall", "-function -fcall -evalsha"])
async def test_user_without_functions_runs_scripts(db: Database, server_url: str, denied: str) -> None:
    socket = server_url.removeprefix("unix://").partition("?")[0]
    command(socket, f"ACL SETUSER app on >secret ~* &* +@all {denied}")
    async with Database(server_url.replace("unix://", "unix://app:secret@")) as limited:
        limited.bind(Coin)
        if "evalsha" in denied:
            with pytest.raises(BackendError):
                await work(1)
        else:
            for n in range(3):
                await work(n)
            assert await calls(db, "evalsha") >= 10


async def test_call_that_failed_leaves_nothing_to_the_next(db: Database) -> None:
    await Coin.objects.create(id="a", metal="gold", value=1)
    await Coin.objects.create(id="b", metal="gold", value=2)
    query = Coin.objects.find(Coin.metal == "gold", Coin.value >= 1).order_by(Coin.value)
    assert [coin.id for coin in await query] == ["a", "b"]
    key = "{functions-coin}:i:value"
    await db.redis.rename(key, "aside")
    await db.redis.set(key, "of another type")
    for _ in range(2):
        with pytest.raises(BackendError):
            await query
        with pytest.raises(BackendError):
            await Coin.objects.create(id="c", metal="gold", value=3)
    await db.redis.rename("aside", key)
    assert [coin.id for coin in await query] == ["a", "b"]
    await Coin.objects.create(id="c", metal="gold", value=3)
    assert [coin.id for coin in await query] == ["a", "b", "c"]


METALS = [f"m{n}" for n in range(12)]


async def _asked(metals: list[str], low: int, order: Any, model: Any = Coin) -> tuple[list[str], int]:
    query = model.objects.find(model.metal.in_(metals), model.value >= low)
    first = query.order_by(order).limit(5)
    found = [coin.id for coin in await first]
    assert [row["id"] for row in await first.values("id")] == found
    assert await first.pks() == found
    return found, await query.count()


def _expected(metals: list[str], low: int, order: Any, offset: int = 0) -> tuple[list[str], int]:
    found = [n + offset for n in range(60) if METALS[n % 12] in metals and n >= low]
    return [f"c{n:04}" for n in (found[::-1] if order.descending else found)[:5]], len(found)


async def _coins(model: Any = Coin, offset: int = 0) -> None:
    await model.objects.save_many(
        [model(id=f"c{n + offset:04}", metal=METALS[n % 12], value=n) for n in range(60)]
    )


async def test_every_call_of_a_shape_is_answered_by_its_own_operands(db: Database) -> None:
    await _coins()
    orders = [Coin.value.asc(), Coin.value.desc(), Coin.id.asc(), Coin.id.desc()]
    for low in (0, 20, 55):
        # more shapes than the server keeps, each again and again
        for count in range(1, 13):
            for order in orders:
                metals = METALS[low % 7 :][:count]
                expected = _expected(metals, low, order)
                assert await _asked(metals, low, order) == expected, (count, low, order)


async def test_models_and_partitions_of_one_shape_are_told_apart(db: Database) -> None:
    db.bind(Chip)
    await _coins()
    await _coins(Chip, 1000)
    for _ in range(3):
        for model, offset in ((Coin, 0), (Chip, 1000)):
            order: Any = model.value.asc()
            assert await _asked(METALS[:3], 7, order, model) == _expected(METALS[:3], 7, order, offset)


async def test_shape_whose_call_failed_is_answered_by_the_next(db: Database) -> None:
    await _coins()
    order = Coin.value.asc()
    assert await _asked(["m1"], 5, order) == _expected(["m1"], 5, order)
    key = "{functions-coin}:t:metal:m2"
    await db.redis.rename(key, "{functions-coin}:aside")
    await db.redis.set(key, "no set")
    with pytest.raises(BackendError, match="WRONGTYPE"):
        await _asked(["m2"], 5, order)
    await db.redis.rename("{functions-coin}:aside", key)
    for metal in ("m1", "m2", "m3"):
        assert await _asked([metal], 5, order) == _expected([metal], 5, order)


async def test_large_step_is_let_go_by_the_server(db: Database) -> None:
    await work(1)
    before = int((await db.redis.info("memory"))["used_memory"])
    coins = [Coin(id=f"x{n}", metal="m" * 20_000 + str(n % 3), value=n) for n in range(400)]
    await Coin.objects.save_many(coins)
    await Coin.objects.delete_many([coin.id for coin in coins])
    for n in range(300):  # the server's own collection of what is no longer used goes by calls
        await work(n)
    assert int((await db.redis.info("memory"))["used_memory"]) < before + 4_000_000


async def test_query_is_answered_by_a_replica(tmp_path: Path) -> None:
    with processes.run(tmp_path / "primary", "--repl-diskless-sync-delay", "0") as primary:  # noqa: SIM117 - its port
        with processes.run(tmp_path / "replica", "--replicaof", f"127.0.0.1 {primary.port}") as replica:
            processes.wait_for(
                lambda: "master_link_status:up" in replica.command("INFO", "replication"), "the link"
            )
            async with Database(f"redis://127.0.0.1:{primary.port}") as first:
                first.bind(Coin)
                await Coin.objects.create(id="a", metal="gold", value=1)
                assert await Coin.objects.find(Coin.value == 1).count() == 1
                assert await Coin.objects.find(Coin.metal == "gold")
            processes.wait_for(lambda: replica.command("EXISTS", "{functions-coin}:r:a") == "1", "the record")
            async with Database(f"redis://127.0.0.1:{replica.port}") as second:
                second.bind(Coin)
                for _ in range(3):
                    assert [coin.id for coin in await Coin.objects.find(Coin.metal == "gold")] == ["a"]
