"""What a contender can do: the operations that are measured, each a coroutine over JSON values.

A contender has the methods it can honestly offer; one it lacks is not measured. Answers are ids, counts or records
as JSON values, so that `operations.py` can compare them with the table's own. Nothing here is inherited from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Row = dict[str, Any]


class Contender(Protocol):
    """One way of doing the work, in a process and a database of its own."""

    async def open(self, url: str) -> None:
        """Connect, and prepare what a program prepares once at its start."""
        ...

    async def load(self, rows: Sequence[Row]) -> None:
        """Store all rows, with their indexes, by the fastest way documented."""
        ...

    async def create(self, row: Row) -> None: ...
    async def create_with_ttl(self, row: Row, seconds: int) -> None: ...
    async def change(self, pk: int, dep_delay: int) -> None:
        """Load one, set an indexed field, save it."""
        ...

    async def increment(self, pk: int) -> None:
        """Add 1 to an indexed field in the database, atomically."""
        ...

    async def transfer(self, one: int, other: int) -> None:
        """Take 1 from an indexed field of one and add it to that of the other: both or neither, optimistically."""
        ...

    async def delete(self, pk: int) -> None: ...
    async def delete_tagged(self, tail: str) -> int:
        """Delete every flight of a tail number; how many."""
        ...

    async def read(self, pk: int) -> Row | None:
        """All fields, for comparison."""
        ...

    async def lifetime(self, pk: int) -> float:
        """Seconds left."""
        ...

    async def get(self, pk: int) -> int: ...
    async def get_many(self, pks: Sequence[int]) -> list[int]: ...
    async def get_each(self, pks: Sequence[int]) -> list[int]:
        """Single gets, each in a task, all at once."""
        ...

    async def in_range(self, low: int, high: int) -> list[int]:
        """Departure delay between, inclusive; in any order."""
        ...

    async def page(self, carrier: str, above: int) -> list[int]:
        """The first 20 of a carrier with a greater departure delay, by departure delay."""
        ...

    async def rare_page(self, carrier: str, above: int) -> list[int]:
        """The same, by whatever way is best for a carrier of few flights."""
        ...

    async def composite_page(self, dest: str, above: int) -> list[int]:
        """The first 20 to a destination with a greater arrival delay, by arrival delay."""
        ...

    async def either_page(self, one: str, other: str) -> list[int]:
        """The 20 of two carriers with the greatest departure delay, descending."""
        ...

    async def without_page(self, carrier: str, above: int) -> list[int]:
        """The first 20 of any other carrier with a greater departure delay, by departure delay."""
        ...

    async def count_range(self, above: int) -> int: ...
    async def count_composite(self, dest: str, above: int) -> int: ...
    async def count_tagged(self, carrier: str, above: int) -> int: ...
    async def prefixed(self, prefix: str) -> list[int]:
        """Tail numbers that begin so; in any order."""
        ...

    async def walk(self, carrier: str, pages: int) -> list[int]:
        """Page after page of 20 of a carrier by departure delay, each asked for on its own."""
        ...

    async def facets(self) -> dict[str, int]:
        """Flights by carrier."""
        ...

    async def close(self) -> None: ...
