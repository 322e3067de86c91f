"""SQLite with the same rows: what every answer is compared with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from examples.flights.model import Flight
from examples.flights.questions import Answer

Row = tuple[Any, ...]


def database(flights: Iterable[Flight]) -> sqlite3.Connection:
    """A table `flights` in memory, a column for each field."""
    columns = list(Flight.model_fields)
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE flights ({', '.join(columns)})")
    connection.executemany(
        f"INSERT INTO flights VALUES ({', '.join('?' * len(columns))})",
        map(_row, flights),
    )
    return connection


def ask(connection: sqlite3.Connection, sql: str) -> tuple[list[str], list[Row]]:
    """The names of the columns, and the rows."""
    cursor = connection.execute(sql)
    return [column[0] for column in cursor.description], cursor.fetchall()


def rows(answer: Answer) -> list[Row]:
    """An answer as SQLite gives it."""
    match answer:
        case int():
            return [(answer,)]
        case dict():
            return sorted(answer.items())
        case list():
            return [_row(flight) for flight in answer]


def _row(flight: Flight) -> Row:
    return tuple(flight.model_dump(mode="json").values())
