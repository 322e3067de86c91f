"""The benchmarks, in their shortest form: that they run, compare answers and count. Nothing here looks at a time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program, environments, publish, report
from benchmarks.contenders import BY_HAND, BY_NAME, ENTRIES, HERE, Entry
from benchmarks.contenders.contract import Contender
from benchmarks.cores import Cores
from benchmarks.data import sample_rows
from benchmarks.figures import Figure, Results
from benchmarks.flight import values
from benchmarks.operations import Operation, reads, writes
from benchmarks.relay import Relay
from benchmarks.remote import ROOT, Failed, Remote
from benchmarks.servers import Server
from benchmarks.session import Session
from benchmarks.table import Line, Table
from tests import servers

LINES = [
    Line(0, "UA", "LAX", 40, 3, "N1"),
    Line(1, "AA", "LAX", 40, None, "N2"),
    Line(2, "UA", "SFO", None, 5, ""),
]


def test_benchmarks_short_form_agrees_on_every_operation(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "--contenders", "redisom_lite;redis-py;Lua;socket"),
            *("--rows", "1200", "--scale", "0.01", "--grow", "--json", str(path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    given = json.loads(path.read_text())
    rows = list(values(sample_rows()))[:1200]
    named = [operation.name for operation in (*reads(Table(list(map(Line.of, rows)))), *writes(rows[:1000]))]
    assert [*given["operations"]] == ["bulk load, per record", *named]
    for figures in given["operations"].values():
        assert [*figures] == ["redisom_lite", "redis-py", "Lua", "socket"]
    assert given["operations"]["get"][HERE]["round_trips"] == 1
    assert given["operations"]["200 concurrent gets"][BY_HAND]["round_trips"] == 200
    assert [*given["scaling"]["get"][HERE]] == ["1000", "1200"]
    assert given["skipped"] == []
    assert Results.from_dict(given).to_dict(BY_HAND) == given


def test_benchmarks_every_operation_is_in_the_contract() -> None:
    rows = list(values(sample_rows()))[:1000]
    operations = [*reads(Table(list(map(Line.of, rows)))), *writes(rows)]
    methods = {one.method for one in operations} | {after.method for one in operations for after in one.after}
    assert methods <= set(dir(Contender))


def test_benchmarks_every_contender_has_a_file() -> None:
    for entry in ENTRIES:
        module, _, name = entry.where.partition(":")
        assert f"class {name}" in (ROOT / "benchmarks" / "contenders" / f"{module}.py").read_text()


@pytest.mark.parametrize(
    ("answer", "right"), [([0, 1], True), ([1, 0], True), ([0], False), ([0, 0], False), ([0, 2], False)]
)
def test_table_ordered_accepts_equal_ranks_in_any_order(answer: list[int], right: bool) -> None:
    check = Table(LINES).ordered(lambda line: line.dest == "LAX", lambda line: line.dep_delay or 0, 20)
    assert check(answer) is right


def test_table_any_order_wants_each_id_once() -> None:
    check = Table(LINES).any_order(lambda line: line.carrier == "UA")
    assert check([2, 0])
    assert not check([0, 2, 2])
    assert not check([0])


def test_table_counts() -> None:
    assert Table(LINES).count(lambda line: line.dep_delay)(2)
    assert Table(LINES).facets()({"UA": 2, "AA": 1})
    assert not Table(LINES).facets()({"UA": 1, "AA": 1})


def test_relay_counts_exchanges_not_commands(real_url: str) -> None:
    del real_url
    running = servers.server("redis")
    with Relay(running.url) as relay, socket.socket(socket.AF_UNIX) as client:
        client.connect(relay.url(0).removeprefix("unix://").partition("?")[0])
        for _ in range(3):
            client.sendall(b"PING\r\nPING\r\n")
            received = b""
            while len(received) < 14:
                received += client.recv(100)
            assert received == b"+PONG\r\n" * 2
        assert relay.take() == 3
        assert relay.take() == 0


def figures(p50: float) -> Figure:
    return Figure(p50, p50, p50, 1.0, p50, 0.0, 1)


RESULTS = Results(
    about={
        "rows": 5,
        "machine": {"cpu": "a cpu", "cores": 2},
        "load before": [0.0],
        "python": "3",
        "loop": "asyncio",
        "versions": {},
        "date": "today",
    },
    operations={
        "get": {HERE: figures(50), BY_HAND: figures(100), "rom": figures(2500)},
        "inc": {BY_HAND: figures(9)},
    },
    goals={"get": 0.4},
    scaling={"get": {HERE: {10: (1.0, 1.0), 100: (2.0, 1.0)}}},
)


def test_report_tables_show_ratios_and_gaps() -> None:
    assert report.ratios(RESULTS) == [
        ["operation", "redis-py, us", HERE, "rom"],
        ["get", "100", "0.50", "25"],
        ["inc", "9.0", "", ""],
    ]
    text = report.text(RESULTS)
    assert "0.50!" in text
    assert "5 rows; a cpu, 2 cores" in text
    assert "| get | 100 | **0.50** | 25 |" in report.markdown(report.ratios(RESULTS), bold=HERE)


def test_report_says_where_the_library_is_slower() -> None:
    assert report.losses(RESULTS) == ["than redis-py: 0 of 1 operations", "than rom: 0 of 1 operations"]
    slow = Results(RESULTS.about, {"get": {HERE: figures(200), BY_HAND: figures(100)}})
    assert report.losses(slow) == ["than redis-py: 1 of 1 operations: get (2.00)"]


def test_report_puts_the_medians_of_placements_side_by_side() -> None:
    slow = Results(RESULTS.about | {"cores": "apart"}, {"get": {HERE: figures(70), BY_HAND: figures(100)}})
    assert report.placements(RESULTS, RESULTS, slow, [HERE]) == [
        ["operation", f"{HERE}, free", f"{HERE}, one core", f"{HERE}, two cores"],
        ["get", "0.50", "0.50", "0.70"],
    ]
    assert "server and callers on one core each" in report.conditions(slow)


def test_publish_fills_only_what_it_knows() -> None:
    page = "a\n<!-- figures: one -->\nold\n<!-- end -->\nb\n<!-- figures: other -->\nkept\n<!-- end -->\n"
    filled = publish.filled(page, {"one": "new"})
    assert filled == page.replace("old", "new")
    assert publish.filled(filled, {"one": "new"}) == filled


def test_plots_are_the_same_for_the_same_figures(tmp_path: Path) -> None:
    plots = pytest.importorskip("benchmarks.plots", exc_type=ImportError)
    first = [path.read_text() for path in plots.write(RESULTS, tmp_path / "one")]
    second = [path.read_text() for path in plots.write(RESULTS, tmp_path / "two")]
    assert first == second
    assert all(text.lstrip().startswith("<?xml") for text in first)


def test_benchmarks_peer_that_cannot_be_installed_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(command: list[str]) -> str:
        raise environments.Missing("pip install ...: no such package")

    monkeypatch.setattr(environments, "HOME", ROOT / ".venv-none")
    monkeypatch.setattr(environments, "_run", refuse)
    results = Results(about={})
    chosen = [BY_NAME[BY_HAND], BY_NAME["walrus"], BY_NAME["redis-om"]]
    with ExitStack() as stack:
        places = program.places(chosen, Namespace(server=None, search_url=None, cores="free"), stack, results)
    assert [place.entry.name for place in places] == [BY_HAND]
    assert results.skipped == [
        "walrus is not measured: pip install ...: no such package",
        "redis-om is not measured: pip install ...: no such package",
    ]


class Wrong:
    """A contender that always answers 7."""

    def __init__(self, name: str) -> None:
        self.name = name

    def has(self, method: str) -> bool:
        return True

    def run(self, method: str, calls: list[list[Any]], *, seconds: float = 0) -> dict[str, Any]:
        return {"waited": [1.0] * len(calls), "burnt": [1.0] * len(calls), "answer": 7}

    def ask(self, method: str, *args: Any) -> Any:
        return 7


@pytest.mark.parametrize(("name", "stops"), [(HERE, True), (BY_HAND, True), ("rom", False)])
def test_benchmarks_wrong_answer_is_never_timed(name: str, stops: bool) -> None:
    results = Results(about={})
    session = Session([], results, only=frozenset(), scale=0.01, loop="asyncio", say=lambda line: None)
    session.remotes[name] = Wrong(name)  # type: ignore[assignment]
    operation = Operation("count", "count", lambda n: [], lambda answer: answer == 8)
    if stops:
        with pytest.raises(SystemExit, match="answers wrong: 7"):
            session.measure(operation)
    else:
        assert session.measure(operation) == {}
        assert results.skipped == ["count, rom: count: rom answers wrong: 7"]


def test_benchmarks_cores_keep_servers_and_contenders(real_url: str) -> None:
    del real_url
    one = min(os.sched_getaffinity(0))
    assert Cores.of("together") == Cores(one, one)
    running = servers.server("redis")
    with ExitStack() as stack:
        options = Namespace(server=None, search_url=None, cores="together")
        (place,) = program.places([BY_NAME["socket"]], options, stack, Results(about={}))
        with place.open() as remote:
            assert os.sched_getaffinity(remote.process) == {one}
        assert os.sched_getaffinity(place.server.process) == {one}
    assert os.sched_getaffinity(Server(running.url).process) == os.sched_getaffinity(0)


def test_benchmarks_two_cores_need_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    assert Cores.of("together") == Cores(3, 3)
    assert Cores.of("free") == Cores()
    with pytest.raises(SystemExit, match="--cores apart is not possible here"):
        Cores.of("apart")


def test_remote_tells_what_a_contender_died_of(real_url: str) -> None:
    with pytest.raises(Failed, match="no-module-of-that-name"):
        Remote(Entry("nobody", "no-module-of-that-name:Nobody", ""), sys.executable, real_url)
