"""Load, ask, compare, show. Exit status 1 if any answer differs from SQLite's."""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.flights import data, reference
from examples.flights.model import Flight
from examples.flights.questions import QUESTIONS, Question
from redisom_lite import Database
from redisom_lite.errors import UnavailableError

EMBEDDED = "embedded://"
SHOWN = 4  # rows of an answer
HIDDEN = {"carrier", "origin", "number", "arr_delay", "air_time"}  # columns: compared all the same
PLAIN: Final[dict[str, Any]] = {"box": SIMPLE_HEAD, "show_edge": False, "padding": (0, 1, 0, 0)}

console = Console()


@dataclass(frozen=True)
class Outcome:
    """What became of a question."""

    question: Question
    rows: int
    seconds: float
    equal: bool


def main() -> int:
    options = _options()
    outcomes = asyncio.run(tour(options.url, options.rows))
    return summary(outcomes)


async def tour(url: str, count: int) -> list[Outcome]:
    """Load `count` flights, ask every question, and remove the flights again."""
    async with await connected(url) as db:
        db.bind(Flight)
        flights = data.flights(count)
        sqlite = reference.database(flights)
        try:
            await Flight.objects.find().delete()  # what an interrupted run has left
            await load(flights)
            return [await answer(question, sqlite) for question in QUESTIONS]
        finally:
            await Flight.objects.find().delete()
            sqlite.close()


async def connected(url: str) -> Database:
    """The database at `url`; where no server can be started, one in this process."""
    db = Database(url, namespace="demo")
    try:
        await db.ping()
    except UnavailableError as error:
        if url != EMBEDDED:
            raise
        console.print(f"[yellow]{escape(str(error))}[/]")
        url = "memory://"
        db = Database(url, namespace="demo")
        console.print(
            f"Going on with {url}: the answers will be the same, the times are those of a simulation."
        )
    console.print(f"Database: [bold]{url}[/]")
    return db


async def load(flights: list[Flight]) -> None:
    """Save all flights, and show how far it is."""
    columns = TextColumn("loading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(flights))
        start = perf_counter()
        await Flight.objects.save_many(flights, progress=lambda done, _: bar.update(task, completed=done))
        seconds = perf_counter() - start
    console.print(f"{len(flights):,} flights in {seconds:.2f} s: {len(flights) / seconds:,.0f} a second\n")


async def answer(question: Question, sqlite: sqlite3.Connection) -> Outcome:
    """Ask a question, show its answer and plan, and compare it with SQLite's."""
    plan = await question.query.explain()
    start = perf_counter()
    given = await question.ask(question.query)
    seconds = perf_counter() - start
    rows = reference.rows(given)
    columns, expected = reference.ask(sqlite, question.sql)
    equal = rows == expected
    console.rule(f"[bold]{question.title}[/]", align="left")
    show(columns, rows)
    verdict = "equal to" if equal else "[red]DIFFERENT FROM[/]"
    console.print(f"{len(rows):,} rows in {milliseconds(seconds)}, {verdict} SQLite's answer to")
    console.print(f"  {question.sql}", style="dim", markup=False, highlight=False)
    console.print(f"{plan}\n", style="cyan", markup=False, highlight=False)
    return Outcome(question, len(rows), seconds, equal)


def show(columns: list[str], rows: list[reference.Row]) -> None:
    """The first rows of an answer."""
    shown = [n for n, name in enumerate(columns) if name not in HIDDEN]
    table = Table(*(columns[n] for n in shown), **PLAIN)
    for row in rows[:SHOWN]:
        table.add_row(*("" if row[n] is None else str(row[n]) for n in shown))
    if len(rows) > SHOWN:
        table.add_row("...")
    console.print(table)


def summary(outcomes: list[Outcome]) -> int:
    """Show every question with its time; return the exit status."""
    table = Table("question", "rows", "time", "", **PLAIN)
    for outcome in outcomes:
        verdict = "equal" if outcome.equal else "[red]different[/]"
        table.add_row(outcome.question.title, f"{outcome.rows:,}", milliseconds(outcome.seconds), verdict)
    console.rule("[bold]all answers[/]", align="left")
    console.print(table)
    different = sum(not outcome.equal for outcome in outcomes)
    if different:
        console.print(f"[red]{different} of {len(outcomes)} answers differ from SQLite's[/]")
        return 1
    console.print(f"{len(outcomes)} answers, all equal to SQLite's")
    return 0


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="examples.flights", description="A tour over real flights.")
    parser.add_argument("--url", default=EMBEDDED, help="the database to use (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=20_000, help="flights to load (default: all %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
