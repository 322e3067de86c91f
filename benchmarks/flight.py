"""The record that every contender stores: one flight, as a plain pydantic model for hand-written code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from benchmarks.data import Row


class PlainFlight(BaseModel):
    """A flight. Found by three tags, four ranges (one of text), and destination with arrival delay."""

    id: int
    carrier: str
    origin: str
    dest: str
    dep_delay: int | None = None
    arr_delay: int | None = None
    time_hour: datetime
    tailnum: str | None = None
    year: int
    month: int
    day: int
    dep_time: int | None = None
    sched_dep_time: int
    arr_time: int | None = None
    sched_arr_time: int
    flight: int
    air_time: int | None = None
    distance: int
    hour: int
    minute: int


def values(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Rows of the table as the fields of a flight; the key counts from 0."""
    for number, row in enumerate(rows):
        yield {"id": number} | {name: text for name, text in row.items() if text}
