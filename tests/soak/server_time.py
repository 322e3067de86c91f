"""The longest call of every shape, by the server's own clocks: `python -m tests.soak.server_time [--full]`.

Two witnesses on a private server: SLOWLOG, which has every command that takes 2 ms or longer with the microseconds it
took (scripts whole; 0 where there is none), and the processor time of the server's main thread from before a call to
after it, its reading and writing included. The first also counts the time in which other programs had the processor,
the second also the sockets; what the script itself took is less than either. Each shape runs several times; shown is
the longest call of the run in which that was shortest. How fast the machine was meanwhile says the reference, a plain
loop of Lua that runs between the calls: a machine with time takes 350 us for it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.contenders.redisom_lite import Flight
from benchmarks.data import full_rows, sample_rows
from benchmarks.flight import values
from redisom_lite import Database
from redisom_lite.engine import embedded
from redisom_lite.engine.scripts import load
from redisom_lite.testing import _between as between
from tests.servers import command
from tests.soak import parcels
from tests.soak.shapes import Shape, reads, writes

BOUND_US = 5000
_SLOW_US = 2000
LONG = ("check", "reindex", "tickets: check")  # so many calls that one run is enough
_SCRIPTS = (b"FCALL", b"EVALSHA", b"EVAL")
_REFERENCE = "local t = {} for n = 1, 20000 do t[n % 100] = n end return 1"
_REFERRED = 8  # calls between two references


@dataclass(frozen=True, slots=True)
class Longest:
    """The longest call of one shape in us, by both witnesses; how many calls a run makes, and which is longest.

    `most` is the processor time that 99 of 100 calls stay below, `half` that of half of them; `reference` what the
    reference took meanwhile, at the median.
    """

    shape: str
    calls: int
    slowlog: int
    processor: int
    most: int
    half: int
    reference: int
    what: str

    @property
    def bound(self) -> int:
        """What no script of this shape takes longer than."""
        return min(self.slowlog, self.processor)


class Witness:
    """Watches one server. Calls go one at a time, so that each has its own processor time."""

    def __init__(self, db: Database, server: embedded.EmbeddedServer) -> None:
        self._db = db
        # few entries, for they take memory, and to free that takes time
        command(server.socket, "CONFIG SET slowlog-max-len 2000")
        command(server.socket, f"CONFIG SET slowlog-log-slower-than {_SLOW_US}")
        about = command(server.socket, "INFO server").splitlines()
        pid = next(line.partition(":")[2] for line in about if line.startswith("process_id"))
        self._clock = Path(f"/proc/{pid}/task/{pid}/schedstat")
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, int(pid), -15)  # ahead of what else runs here

    def _processor(self) -> int:
        return int(self._clock.read_text().split()[0]) // 1000

    async def _refer(self) -> int:
        before = self._processor()
        await self._db.redis.execute_command("EVAL", _REFERENCE, 0)
        return self._processor() - before

    async def watch(self, shape: str, run: Callable[[], Awaitable[object]]) -> Longest:
        """One run."""
        await self._db.redis.execute_command("SLOWLOG", "RESET")
        turn, times, references = asyncio.Lock(), list[int](), list[int]()

        @asynccontextmanager
        async def call(_: str) -> AsyncIterator[None]:
            async with turn:
                before = self._processor()
                yield
                times.append(self._processor() - before)
                if len(times) % _REFERRED == 1:
                    references.append(await self._refer())

        with between(self._db, call):
            await run()
        entries: Sequence[Any] = await self._db.redis.execute_command("SLOWLOG", "GET", 2000)
        # a command inside a script has an entry of its own beside the script's
        took, words = max(((int(took), words) for _, _, took, words, *_ in entries), default=(0, [b"", b""]))
        what = _names().get(words[1], "") if words[0] in _SCRIPTS else words[0].decode()
        longest, half = max(times, default=0), quantile(times, 0.5)
        reference = quantile(references, 0.5)
        return Longest(shape, len(times), took, longest, quantile(times), half, reference, what)


def quantile(times: Sequence[int], share: float = 0.99) -> int:
    """What all but the longest hundredth of the calls stay below."""
    return sorted(times)[int(len(times) * share)] if times else 0


def _names() -> dict[bytes, str]:
    folder = files("redisom_lite.engine").joinpath("lua")
    scripts = [load(path.name.removesuffix(".lua")) for path in folder.iterdir()]
    names = {script.sha: script.name for script in scripts}
    return names | {script.function.name: script.name for script in scripts if script.function is not None}


async def measure(
    db: Database, witness: Witness, flights: Sequence[dict[str, Any]], only: str, times: int
) -> list[Longest]:
    """Load, and run every shape."""
    db.bind(Flight, parcels.Parcel, parcels.Ticket)
    print(
        f"{'shape':<50}{'calls':>7}{'slowlog':>9}{'processor':>10}{'99%':>7}{'50%':>7}{'reference':>10}  us"
    )
    for first in range(0, len(flights), 20_000):
        await Flight.objects.save_many([Flight(**each) for each in flights[first : first + 20_000]])
    tails = sorted({each["tailnum"] for each in flights if "tailnum" in each})
    dests = sorted({each["dest"] for each in flights})
    asked = {shape: run for shape, run in reads(tails, dests).items() if only in shape}
    done = _chosen(writes(flights[0]), only) | _chosen(parcels.shapes(), only, needed=parcels.SAVED)
    found = [_best([await witness.watch(shape, run) for _ in range(times)]) for shape, run in asked.items()]
    turns: dict[str, list[Longest]] = {shape: [] for shape in done}
    for turn in range(times):
        for shape, change in done.items():
            if turn == 0 or shape not in LONG:
                turns[shape].append(await witness.watch(shape, lambda change=change: change(db)))
    return found + [_best(seen) for seen in turns.values()]


def _chosen(shapes: dict[str, Shape], only: str, needed: Sequence[str] = ()) -> dict[str, Shape]:
    chosen = {shape for shape in shapes if only in shape}
    return {shape: run for shape, run in shapes.items() if shape in chosen or (chosen and shape in needed)}


def _best(seen: Sequence[Longest]) -> Longest:
    processor, most = min(each.processor for each in seen), min(each.most for each in seen)
    half, reference = min(each.half for each in seen), min(each.reference for each in seen)
    best = min(seen, key=lambda each: each.slowlog)
    best = replace(best, processor=processor, most=most, half=half, reference=reference)
    figures = f"{best.calls:>7,}{best.slowlog:>9,}{processor:>10,}{most:>7,}{half:>7,}{reference:>10,}"
    print(f"{best.shape:<50}{figures}  {best.what}", flush=True)
    return best


async def main(
    flights: Sequence[dict[str, Any]], binary: str | None, only: str = "", times: int = 3
) -> list[Longest]:
    """Measure on a server of its own."""
    with embedded.start(binary=binary) as server:
        print(f"{server.name} {server.version}, {len(flights):,} flights")
        async with Database(server.url) as db:
            return await measure(db, Witness(db, server), flights, only, times)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="all 336,776 flights (extra `bench`)")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--server", default=None, help="redis-server or valkey-server")
    parser.add_argument("--only", default="", help="shapes whose name contains this")
    parser.add_argument("--runs", type=int, default=3, help="of every shape")
    options = parser.parse_args()
    rows = full_rows() if options.full else islice(sample_rows(), options.rows)
    longest = asyncio.run(main(list(values(rows)), options.server, options.only, options.runs))
    over = [each for each in longest if each.bound > BOUND_US]
    print(f"{len(over)} of {len(longest)} shapes have a call over {BOUND_US / 1000:.0f} ms")
    sys.exit(bool(over))
