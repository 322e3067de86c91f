"""One run: load the same rows into all contenders, compare their answers with the table's, measure them in turn.

Contenders take turns in blocks of a few calls, in a random order, one at a time: what else the machine does falls on
all alike. Nothing is timed before its answer was right.
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self

from benchmarks.contenders import BY_NAME, Entry
from benchmarks.environments import python_for
from benchmarks.figures import Figure, Results, Samples
from benchmarks.operations import Operation, reads, writes
from benchmarks.relay import Relay
from benchmarks.remote import Failed, Remote
from benchmarks.servers import Server
from benchmarks.table import Line, Table

CHUNK = 5000
_BLOCKS = 30  # short ones: some fall between two turns of whatever else runs
_BLOCK_SECONDS = 0.1
_OPERATION_SECONDS = 6.0
_COUNTABLE_US = 100_000  # what takes longer asks so often that counting would take minutes
SCALED = ("get", "tag and range, ordered, 20", "the same, composite", "count of a range", "create")


@dataclass(frozen=True, slots=True)
class Place:
    """A contender, its server, the number of its database there, and the core it runs on (None: any)."""

    entry: Entry
    server: Server
    database: int
    core: int | None = None

    def open(self, url: str | None = None, *, loop: str = "asyncio") -> Remote:
        """Start it, on its server or on a relay before that."""
        url = url or self.server.at(self.database)
        return Remote(self.entry, python_for(self.entry), url, loop=loop, core=self.core)


class Session:
    """A run in progress. `with` ends its contenders."""

    def __init__(
        self,
        places: Sequence[Place],
        results: Results,
        *,
        only: frozenset[str],
        scale: float,
        loop: str,
        say: Callable[[str], None],
    ) -> None:
        self._places = list(places)
        self._results = results
        self._only = only
        self._scale = scale
        self._loop = loop
        self._say = say
        self._stack = ExitStack()
        self.remotes: dict[str, Remote] = {}
        """Who takes part, by name."""
        self._servers = {place.entry.name: place.server for place in places}
        self._samples: dict[str, dict[str, Samples]] = {}
        self._counted: dict[str, dict[str, dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        for place in self._places:
            try:
                remote = place.open(loop=self._loop)
            except Failed as error:
                self._note(f"{place.entry.name} is not measured: {str(error).splitlines()[-1]}")
            else:
                self.remotes[place.entry.name] = self._stack.enter_context(remote)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, rows: Iterable[dict[str, Any]], sizes: Sequence[int]) -> None:
        """Load all rows, stopping at the sizes for what is measured there; then measure everything."""
        lines, first = self._load(iter(rows), sizes)
        table = Table(lines)
        operations = [*reads(table), *writes(first)]
        self._results.goals |= {one.name: one.goal for one in operations if one.goal}
        for operation in operations:
            if not self._only or operation.name in self._only:
                self._say(operation.name)
                self._samples[operation.name] = self.measure(operation)
        self._count([one for one in operations if one.name in self._samples])
        for name, samples in self._samples.items():
            counted = self._counted.get(name, {})
            self._results.operations[name] = {
                who: Figure.of(sample, **counted.get(who, {})) for who, sample in samples.items()
            }

    # Loading.

    def _load(
        self, rows: Iterator[dict[str, Any]], sizes: Sequence[int]
    ) -> tuple[list[Line], list[dict[str, Any]]]:
        lines: list[Line] = []
        first: list[dict[str, Any]] = []
        samples = {name: Samples() for name in self.remotes}
        grown = dict.fromkeys(self.remotes, 0)
        stops = iter([*sizes, sys.maxsize])
        stop = next(stops)
        while chunk := list(itertools.islice(rows, min(CHUNK, stop - len(lines)))):
            self._leave_out(len(lines) + len(chunk))
            lines += map(Line.of, chunk)
            first += chunk[: 1000 - len(first)]
            with ExitStack() as stack:
                for server in {self._servers[name] for name in self.remotes}:
                    stack.enter_context(server.still())
                for name in self._shuffled():
                    grown[name] += self._load_chunk(name, chunk, samples[name])
            self._say(f"loaded {len(lines):,}")
            if len(lines) == stop:
                self._scale_at(lines, first)
                stop = next(stops)
        if len(lines) not in sizes and sizes:
            self._scale_at(lines, first)
        self._samples["bulk load, per record"] = {name: samples[name] for name in self.remotes}
        self._results.goals["bulk load, per record"] = 0.60
        self._results.bytes_per_record |= {name: round(grown[name] / len(lines), 1) for name in self.remotes}
        return lines, first

    def _leave_out(self, rows: int) -> None:
        for name in [name for name in self.remotes if BY_NAME[name].most < rows]:
            self.remotes.pop(name)
            self._note(f"{name} is measured up to {BY_NAME[name].most:,} rows")

    def _load_chunk(self, name: str, chunk: list[dict[str, Any]], samples: Samples) -> int:
        server, remote = self._servers[name], self.remotes[name]
        before = server.memory()
        ran, cpu = server.burnt(lambda: remote.run("load", [[chunk]]))
        per = {kind: [us / len(chunk) for us in ran[kind]] for kind in ("waited", "burnt")}
        samples.add(per, cpu / len(chunk))
        return server.memory() - before

    # Growing.

    def _scale_at(self, lines: Sequence[Line], first: Sequence[dict[str, Any]]) -> None:
        operations = [*reads(Table(lines)), *writes(first)]
        for operation in operations:
            if operation.name in SCALED and (not self._only or operation.name in self._only):
                measured = self.measure(operation, tidy=True)
                scaling = self._results.scaling.setdefault(operation.name, {})
                for who, samples in measured.items():
                    figure = Figure.of(samples)
                    scaling.setdefault(who, {})[len(lines)] = (figure.best_us, round(figure.cpu_us, 2))

    # Measuring.

    def measure(self, operation: Operation, *, tidy: bool = False) -> dict[str, Samples]:
        """Compare, then time, everyone who has the operation; `tidy` deletes what it creates."""
        able = [name for name in self.remotes if self.remotes[name].has(operation.method)]
        able = [name for name in able if self._agrees(operation, name, tidy=tidy)]
        samples = {name: Samples() for name in able}
        wanted = max(1, round(operation.samples * self._scale))
        blocks = min(_BLOCKS, wanted)
        each = round(wanted / blocks)
        for block in range(blocks + 1):
            numbers = range(block * each, (block + 1) * each)
            for name in self._shuffled(able):
                spent = sum(samples[name].waited) / 1e6
                if spent > _OPERATION_SECONDS * min(1, self._scale) and len(samples[name].client) >= 3:
                    continue
                ran, cpu = self._block(operation, name, numbers, tidy=tidy)
                if block:  # the first warms up
                    samples[name].add(ran, cpu)
        return samples

    def _block(
        self, operation: Operation, name: str, numbers: Sequence[int], *, tidy: bool
    ) -> tuple[dict[str, Any], float]:
        remote = self.remotes[name]
        if operation.before:
            method, args = operation.before
            remote.run(method, [args(n) for n in numbers])
        calls = [operation.args(n) for n in numbers]
        seconds = 3600 if operation.before else _BLOCK_SECONDS
        ran, cpu = self._servers[name].burnt(lambda: remote.run(operation.method, calls, seconds=seconds))
        if not operation.right(ran["answer"]):
            raise SystemExit(f"{operation.name}: {name} answered wrong while it was timed")
        if tidy and operation.method == "create":
            done = numbers[: len(ran["waited"])]
            remote.run("delete", [[operation.args(n)[0]["id"]] for n in done])
        return ran, cpu

    def _agrees(self, operation: Operation, name: str, *, tidy: bool) -> bool:
        """Do it once. A wrong answer of a peer is noted, and its time is not taken; any other stops everything."""
        try:
            self._compare(operation, self.remotes[name], tidy=tidy)
        except Failed as error:
            if not BY_NAME[name].packages:
                raise SystemExit(str(error)) from error
            self._note(f"{operation.name}, {name}: {str(error).splitlines()[-1][:200]}")
            return False
        return True

    def _compare(self, operation: Operation, remote: Remote, *, tidy: bool, number: int = -1) -> None:
        if operation.before:
            method, args = operation.before
            remote.ask(method, *args(number))
        answer = remote.ask(operation.method, *operation.args(number))
        if not operation.right(answer):
            raise Failed(f"{operation.name}: {remote.name} answers wrong: {str(answer)[:100]}")
        for after in operation.after:
            if remote.has(after.method):
                done = remote.ask(after.method, *after.args(number))
                if not after.right(number, done):
                    raise Failed(f"{operation.name}: {remote.name} has not done it: {str(done)[:100]}")
        if tidy and operation.method == "create":
            remote.ask("delete", operation.args(number)[0]["id"])

    # Counting.

    def _count(self, operations: Sequence[Operation]) -> None:
        """Round trips and commands, one call each, through a relay and untimed."""
        for place in self._places:
            if place.entry.name in self.remotes:
                self._say(f"counting round trips of {place.entry.name}")
                with Relay(place.server.url) as relay:
                    try:
                        with place.open(relay.url(place.database), loop=self._loop) as remote:
                            for operation in operations:
                                if self._countable(operation, place.entry.name):
                                    self._count_one(operation, place, remote, relay)
                    except Failed as error:
                        self._say(f"round trips not counted: {error}")

    def _countable(self, operation: Operation, name: str) -> bool:
        samples = self._samples[operation.name].get(name)
        return bool(samples) and statistics.median(samples.client) < _COUNTABLE_US

    def _count_one(self, operation: Operation, place: Place, remote: Remote, relay: Relay) -> None:
        for number in (-3, -2):  # the first call prepares
            if operation.before:
                method, args = operation.before
                to = self.remotes[place.entry.name] if method == "load" else remote
                to.ask(method, *args(number))
            before = place.server.commands()
            relay.take()
            remote.ask(operation.method, *operation.args(number))
        trips = relay.take()
        after = place.server.commands()
        by_name = {name: calls - before.get(name, 0) for name, calls in after.items()}
        by_name = {name: calls for name, calls in by_name.items() if calls}
        self._counted.setdefault(operation.name, {})[place.entry.name] = {
            "round_trips": trips,
            "commands": sum(by_name.values()),
            "commands_by_name": by_name,
        }

    def _shuffled(self, names: Sequence[str] | None = None) -> list[str]:
        names = list(self.remotes) if names is None else names
        return random.sample(names, len(names))

    def _note(self, line: str) -> None:
        self._results.skipped.append(line)
        self._say(line)


def import_times(entries: Sequence[Entry], scale: float) -> dict[str, float]:
    """Milliseconds to import each contender's library in a fresh process; the median of several, in turn.

    The first import of each does not count: it compiles what an installer has not compiled yet.
    """
    took: dict[str, list[float]] = {entry.name: [] for entry in entries if entry.imports}
    compiling = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(1 + max(1, min(9, round(9 * scale)))):
        for entry in entries:
            if entry.imports:
                code = (
                    f"import time; t = time.perf_counter(); {entry.imports}; print(time.perf_counter() - t)"
                )
                command = [python_for(entry), "-W", "ignore", "-c", code]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=compiling)
                took[entry.name].append(float(done.stdout.split()[-1]) * 1000)
    return {name: round(statistics.median(times[1:]), 1) for name, times in took.items()}
