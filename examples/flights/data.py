"""The rows: 20,000 flights of 2013, as text (see `examples/data/README.md`), and how a row becomes a `Flight`."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime, timedelta
from pathlib import Path

from examples.flights.model import Flight

TABLE = Path(__file__).parent.parent / "data" / "flights_20k.csv.gz"

Row = dict[str, str]


def flights(count: int) -> list[Flight]:
    """`count` flights spread evenly over the table; all of them if it holds no more."""
    with gzip.open(TABLE, "rt", newline="") as lines:
        rows = list(csv.DictReader(lines))
    every = max(1, len(rows) // count)
    return [flight(row) for row in rows[::every][:count]]


def flight(row: Row) -> Flight:
    """One row as a record. Pydantic turns the texts into numbers."""
    given = {name: text for name, text in row.items() if text}  # what is empty is missing, and becomes None
    return Flight.model_validate(
        given | {"id": _key(row), "number": row["flight"], "scheduled": _scheduled(row)},
    )


def _key(row: Row) -> str:
    day = f"{row['year']}-{row['month']:0>2}-{row['day']:0>2}"
    return f"{day}/{row['carrier']}{row['flight']}/{row['origin']}"


def _scheduled(row: Row) -> datetime:
    return datetime.fromisoformat(row["time_hour"]) + timedelta(minutes=int(row["minute"]))
