"""One command: load, check that all contenders answer alike, measure them in turn, print medians and ratios.

python -m benchmarks                  20,000 flights, some minutes
python -m benchmarks --rows full      336,776 flights
python -m benchmarks --only "get;inc"  some operations
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.by_hand import ByHand
from benchmarks.data import full_rows, sample_rows
from benchmarks.flight import PlainFlight, values
from benchmarks.ours import Ours
from redisom_lite.engine.embedded import start

Run = Callable[[Any, int], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What is measured: `run` once a sample, given its number; `compared` says whether its answers must be equal."""

    name: str
    run: Run
    target: float | None = None
    samples: int = 200
    compared: bool = True


def operations(flights: Sequence[dict[str, Any]]) -> list[Operation]:
    """Every operation, with the ratio to hand-written redis-py that is to be reached."""
    template = flights[0]

    async def delete_by_query(contender: Any, n: int) -> int:
        first = 20_000_000 + n * 1000
        await contender.load([template | {"id": first + extra, "tailnum": f"X{n}"} for extra in range(1000)])
        begun = time.perf_counter()
        deleted = await contender.delete_tagged(f"X{n}")
        contender.took = time.perf_counter() - begun
        return int(deleted)

    async def delete(contender: Any, n: int) -> None:
        await contender.create(template | {"id": 30_000_000 + n})
        begun = time.perf_counter()
        await contender.delete(30_000_000 + n)
        contender.took = time.perf_counter() - begun

    thousand = list(range(1000))
    two_hundred = list(range(200))
    return [
        Operation("create", lambda c, n: c.create(template | {"id": 10_000_000 + n}), 0.55, compared=False),
        Operation(
            "create with ttl",
            lambda c, n: c.create_with_ttl(template | {"id": 11_000_000 + n}, 3600),
            0.55,
            compared=False,
        ),
        Operation(
            "load, change, save",
            lambda c, n: c.change(n * 7 % 1000, 5 + n % 60),
            0.75,
            compared=False,
        ),
        Operation("inc", lambda c, n: c.increment(7), 0.70, compared=False),
        Operation("delete", delete, 0.40, compared=False),
        Operation("delete by query, 1000", delete_by_query, 0.55, samples=7),
        Operation("get", lambda c, n: c.get(77), 1.00),
        Operation("200 concurrent gets", lambda c, n: c.get_each(two_hundred), 0.60, samples=30),
        Operation("get_many 1000", lambda c, n: c.get_many(thousand), 0.50, samples=20),
        Operation("range, about 100", lambda c, n: c.in_range(100, 104), 0.50, samples=50),
        Operation("range, about 1000", lambda c, n: c.in_range(30, 48), 0.50, samples=15),
        Operation("tag and range, ordered, 20", lambda c, n: c.page("UA", 30), 0.45),
        Operation("the same, selective tag", lambda c, n: c.page("F9", 30), 0.65, samples=100),
        Operation("the same, composite", lambda c, n: c.composite_page("LAX", 30), 0.55),
        Operation("OR descending, 20", lambda c, n: c.either_page("UA", "AA"), 0.60),
        Operation("NOT, 20", lambda c, n: c.without_page("UA", 30), 0.45),
        Operation("count of a range", lambda c, n: c.count_range(30), 1.05),
        Operation("count of a composite", lambda c, n: c.count_composite("LAX", 30), 1.05),
        Operation("count of tag and range", lambda c, n: c.count_tagged("UA", 30), 0.80, samples=50),
        Operation("text prefix", lambda c, n: c.prefixed("N3758"), 0.55, samples=100),
        Operation("50 pages of 20", lambda c, n: c.walk("UA", 50), 0.60, samples=10),
        Operation("facets", lambda c, n: c.facets(), 0.55),
    ]


async def measure(
    url: str, flights: Sequence[dict[str, Any]], only: set[str], scale: float
) -> dict[str, Any]:
    """Load, compare, measure; the figures by operation and contender."""
    contenders: list[Any] = [Ours(url), ByHand(url)]
    results: dict[str, Any] = {}
    bulk: dict[str, float] = {}
    for contender in contenders:
        begun = time.perf_counter()
        await contender.load(flights)
        bulk[contender.name] = (time.perf_counter() - begun) / len(flights)
        await contender.hold(7)
    if not only or "bulk load" in only:
        results["bulk load"] = {
            "target": 0.60,
            **{name: {"p50": took, "p99": took} for name, took in bulk.items()},
        }
    for operation in operations(flights):
        if not only or operation.name in only:
            if operation.compared:
                await _compare(operation, contenders)
            results[operation.name] = await _time(operation, contenders, scale)
    if not only or "bytes per record" in only:
        sizes = {contender.name: await contender.bytes_per_record() for contender in contenders}
        results["bytes per record"] = {
            "target": 1.20,
            **{name: {"p50": size / 1e6, "p99": size / 1e6} for name, size in sizes.items()},
        }
    for contender in contenders:
        await contender.close()
    return results


async def _compare(operation: Operation, contenders: Sequence[Any]) -> None:
    answers = [await operation.run(contender, -1) for contender in contenders]
    ours, theirs = answers
    if isinstance(ours, list):
        # a page may end within equals, whose keys sort differently by hand; else the same records, in any order
        if len(ours) == len(theirs) and (len(ours) in (20, 1000) or sorted(ours) == sorted(theirs)):
            return
    elif ours == theirs:
        return
    raise SystemExit(f"{operation.name}: the answers differ ({_size(ours)} and {_size(theirs)})")


def _size(answer: Any) -> Any:
    return len(answer) if isinstance(answer, list) else answer


async def _time(operation: Operation, contenders: Sequence[Any], scale: float) -> dict[str, Any]:
    """Samples in turn, so that whatever else the machine does meets all alike."""
    took: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    samples = max(5, int(operation.samples * scale))
    for number in range(samples + 2):
        for contender in random.sample(list(contenders), len(contenders)):
            contender.took = None
            begun = time.perf_counter()
            await operation.run(contender, number)
            elapsed = contender.took or time.perf_counter() - begun
            if number >= 2:
                took[contender.name].append(elapsed)
    return {"target": operation.target} | {
        name: {"p50": statistics.median(times), "p99": sorted(times)[int(len(times) * 0.99)]}
        for name, times in took.items()
    }


def import_times() -> dict[str, Any]:
    """Seconds to import each library in a fresh process, median of several."""

    def one(statement: str) -> float:
        code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
        times = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, text=True, check=True
                ).stdout
            )
            for _ in range(7)
        ]
        return statistics.median(times)

    ours, theirs = one("import redisom_lite"), one("import redis.asyncio, pydantic; pydantic.BaseModel")
    return {
        "target": 1.20,
        "redisom_lite": {"p50": ours, "p99": ours},
        "redis-py": {"p50": theirs, "p99": theirs},
    }


def show(results: dict[str, Any]) -> None:
    """A table: medians in microseconds, the ratio, what it should be at most."""
    print(f"{'operation':<28}{'redisom_lite':>14}{'redis-py':>12}{'ratio':>8}{'at most':>9}")
    for name, figures in results.items():
        ours, theirs = figures["redisom_lite"]["p50"], figures["redis-py"]["p50"]
        target = figures["target"]
        late = "  over" if target and ours / theirs > target else ""
        print(
            f"{name:<28}{ours * 1e6:>14,.0f}{theirs * 1e6:>12,.0f}{ours / theirs:>8.2f}{target or 0:>9.2f}{late}"
        )


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="20000", help="how many flights, or `full`")
    parser.add_argument("--only", default="", help="operations, separated by semicolons")
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer samples")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    rows = (
        full_rows()
        if options.rows == "full"
        else (r for r, _ in zip(sample_rows(), range(int(options.rows)), strict=False))
    )
    flights = list(values(rows))
    for flight in flights:
        PlainFlight.model_validate(flight)
    only = {name.strip() for name in options.only.split(";") if name.strip()}
    with start() as server:
        results = asyncio.run(measure(server.url, flights, only, options.scale))
        where = f"{server.name} {server.version}"
    if not only or "import" in only:
        results["import"] = import_times()
    show(results)
    about = {"python": platform.python_version(), "server": where, "rows": len(flights)}
    about |= {name: version(name) for name in ("redis", "hiredis", "pydantic")}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    if options.json:
        options.json.write_text(json.dumps({"about": about, "seconds": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
