"""What the transport costs beside redis-py's own path: one command, many at once, many in one round trip.

python -m benchmarks.transport            on asyncio's loop
python -m benchmarks.transport uvloop     on uvloop

All three take turns in a random order, so that what else the machine does falls on each alike. Time is what a
caller waits; CPU is what this process burns for it, the measure of a client on a machine of its own. On a
machine that idles, waking a processor costs every round trip some 40 us, whoever makes it.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio

from redisom_lite.engine.address import parse
from redisom_lite.engine.embedded import start
from redisom_lite.engine.pool import open_transport
from redisom_lite.engine.scripts import from_text

SCRIPT = from_text("echo", b"return ARGV[1]")
ROUNDS = 25

Do = Callable[[], Awaitable[Any]]
Case = tuple[str, int, dict[str, Do]]


def at_once(do: Do, times: int = 200) -> Do:
    return lambda: asyncio.gather(*(do() for _ in range(times)))


async def cases(url: str, raw: Any, ours: Any, plain: Any) -> list[Case]:
    """Name, repetitions per sample, and the same work by each."""
    await raw.script_load(SCRIPT.text)
    for i in range(1000):
        await raw.hset(f"h:{i}", mapping={f"f{j}": f"value {j}" for j in range(5)})
    hashes = [(b"HGETALL", f"h:{i}".encode()) for i in range(1000)]

    async def pipeline() -> Any:
        async with raw.pipeline(transaction=False) as pipe:
            for command in hashes:
                pipe.execute_command(*command)
            return await pipe.execute()

    async def watch_by_hand() -> None:
        async with raw.pipeline(transaction=True) as pipe:
            await pipe.watch("h:1")
            await pipe.hgetall("h:1")
            pipe.multi()
            pipe.hset("h:1", "f1", "x")
            await pipe.execute()

    def watch(transport: Any) -> Do:
        async def transact() -> None:
            async with transport.session() as session:
                await session.send("WATCH", "h:1")
                await session.send("HGETALL", "h:1")
                await session.send_many([("MULTI",), ("HSET", "h:1", "f1", "x"), ("EXEC",)])

        return transact

    def script(transport: Any) -> Do:
        return lambda: transport.call(SCRIPT, [b"k"], ["x"])

    def script_by_hand() -> Awaitable[Any]:
        return raw.evalsha(SCRIPT.sha.decode(), 1, "k", "x")

    return [
        ("a script", 200, {"redis-py": script_by_hand, "plain": script(plain), "multiplexed": script(ours)}),
        (
            "HGETALL",
            200,
            {
                "redis-py": lambda: raw.execute_command("HGETALL", "h:1"),
                "plain": lambda: plain.commands([("HGETALL", "h:1")]),
                "multiplexed": lambda: ours.commands([("HGETALL", "h:1")]),
            },
        ),
        (
            "200 scripts at once",
            8,
            {
                "redis-py": at_once(script_by_hand),
                "plain": at_once(script(plain)),
                "multiplexed": at_once(script(ours)),
            },
        ),
        (
            "1000 HGETALL in one trip",
            4,
            {
                "redis-py": pipeline,
                "plain": lambda: plain.commands(hashes),
                "multiplexed": lambda: ours.commands(hashes),
            },
        ),
        (
            "WATCH, read, EXEC",
            50,
            {"redis-py": watch_by_hand, "plain": watch(plain), "multiplexed": watch(ours)},
        ),
    ]


async def measure(case: Case) -> None:
    name, times, contenders = case
    waited: dict[str, list[float]] = {who: [] for who in contenders}
    burnt: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(ROUNDS):
        for who in random.sample(list(contenders), len(contenders)):
            do = contenders[who]
            begun, cpu = time.perf_counter(), time.process_time()
            for _ in range(times):
                await do()
            waited[who].append((time.perf_counter() - begun) / times * 1e6)
            burnt[who].append((time.process_time() - cpu) / times * 1e6)
    for label, samples in (("time", waited), ("CPU", burnt)):
        medians = {who: statistics.median(values) for who, values in samples.items()}
        base = medians["redis-py"]
        shown = "  ".join(f"{who} {median:9.1f} us ({median / base:4.2f})" for who, median in medians.items())
        print(f"{name:26}{label:6}{shown}")


async def main() -> None:
    with start() as server:
        raw = redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool.from_url(server.url, max_connections=64)
        )
        ours = open_transport(parse(server.url))
        plain = open_transport(parse(server.url), multiplex=False)
        try:
            for case in await cases(server.url, raw, ours, plain):
                await measure(case)
        finally:
            await ours.aclose()
            await plain.aclose()
            await raw.aclose()


if __name__ == "__main__":
    factory = importlib.import_module("uvloop").new_event_loop if "uvloop" in sys.argv else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
