"""The record that soaks store: one flight with all the columns of the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from benchmarks.data import Row
from redisom_lite import Composite, Field, Key, Meta, Model, Range, Tag


class Flight(Model):
    """Three tags, four ranges (one of text), one composite."""

    meta = Meta(prefix="flight", indexes=[Composite("dest", "arr_delay")])

    id: Key[int]
    carrier: Tag[str]
    origin: Tag[str]
    dest: Tag[str]
    dep_delay: Range[int | None] = Field(default=None)
    arr_delay: Range[int | None] = Field(default=None)
    time_hour: Range[datetime]
    tailnum: Range[str | None] = Field(default=None)
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
