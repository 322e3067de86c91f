"""Rows of the table as Python values, for peers that do not validate. Runs in every environment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

INTEGERS = (
    *(
        "dep_delay",
        "arr_delay",
        "year",
        "month",
        "day",
        "dep_time",
        "sched_dep_time",
        "arr_time",
        "sched_arr_time",
    ),
    *("flight", "air_time", "distance", "hour", "minute"),
)
NAMES = ("id", "carrier", "origin", "dest", "tailnum", "time_hour", *INTEGERS)


def typed(row: dict[str, Any]) -> dict[str, Any]:
    """Integers as such; the time without its zone, which is UTC."""
    integers = {name: int(row[name]) for name in INTEGERS if name in row}
    at = datetime.fromisoformat(row["time_hour"]).astimezone(UTC).replace(tzinfo=None)
    return row | integers | {"time_hour": at}


def plain(flight: Any, names: tuple[str, ...] = NAMES) -> dict[str, Any]:
    """The fields of an object as JSON values."""
    fields = {name: getattr(flight, name) for name in names}
    fields["time_hour"] = fields["time_hour"].replace(tzinfo=UTC).isoformat()
    return {name: value for name, value in fields.items() if value is not None}
