"""How many keys end within a second, a minute, an hour, ...: pure counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

EDGES: Final = tuple(
    timedelta(**{unit: count})
    for unit, count in (
        *(("seconds", 1), ("seconds", 10), ("minutes", 1), ("minutes", 10), ("hours", 1), ("hours", 6)),
        *(("days", 1), ("days", 7), ("days", 30), ("days", 365)),
    )
)
"""Upper bounds of the buckets; a last one has what ends later."""

_BAR: Final = 40


@dataclass(frozen=True, slots=True)
class Bucket:
    """`count` keys whose remaining lifetime is up to `within` and above the bucket before; None: any longer one."""

    within: timedelta | None
    count: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Remaining lifetimes: buckets from short to long, and how many keys have no end."""

    buckets: tuple[Bucket, ...]
    endless: int

    @property
    def total(self) -> int:
        """Keys counted."""
        return self.endless + sum(bucket.count for bucket in self.buckets)

    def __str__(self) -> str:
        rows = [(_label(bucket.within), bucket.count) for bucket in self.buckets]
        rows.append(("no end", self.endless))
        most = max(count for _, count in rows) or 1
        return "\n".join(
            f"{label:>14} {count:>9} {'#' * round(_BAR * count / most)}".rstrip() for label, count in rows
        )


def counted(remaining: Sequence[int], endless: int) -> Histogram:
    """The histogram of `remaining` counts, one for each edge and the last for longer ones."""
    return Histogram(
        tuple(Bucket(edge, count) for edge, count in zip((*EDGES, None), remaining, strict=True)), endless
    )


def bucket_of(ms: int) -> int:
    """The position of the bucket that a remaining lifetime belongs to."""
    left = timedelta(milliseconds=ms)
    return next((n for n, edge in enumerate(EDGES) if left <= edge), len(EDGES))


def _label(within: timedelta | None) -> str:
    if within is None:
        return "longer"
    seconds = int(within.total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"up to {seconds // size}{unit}"
    return f"up to {seconds}s"
