"""`Scan[M]`: the records that pass a test written in Python. It reads each to test it, so it is bounded, and warns.

For questions asked once, of fields that have no index. What is asked often is worth an index: declare the field `Tag`
or `Range`, run `reindex()`, and use `find`.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from typing import Any, Final, Generic, Protocol, TypeVar

from redisom_lite.errors import QueryError

M = TypeVar("M")

MOST: Final = 10_000
_BATCH: Final = 500


class ScanWarning(UserWarning):
    """A scan reads records to find some: fine for a question asked once, slow for one asked often."""


class Readable(Protocol[M]):
    """A query, as far as scans know one."""

    def limit(self, n: int, /) -> Readable[M]: ...
    async def count(self) -> int: ...
    def batches(self, size: int, /) -> AsyncGenerator[list[M]]: ...


class Scan(Generic[M]):
    """Await it for the list, or iterate over it with `async for`, holding few records at a time."""

    def __init__(self, name: str, query: Readable[M], test: Callable[[M], object], most: int) -> None:
        if isinstance(most, bool) or most < 1:
            raise QueryError(f"{name}: scan(most=...) is the most records to read, a whole number from 1 on")
        if not callable(test):
            raise QueryError(
                f"{name}: scan() takes a function of a record, as in scan(lambda r: r.name == ...)"
            )
        self._name, self._query, self._test, self._most = name, query, test, most

    def __await__(self) -> Generator[Any, None, list[M]]:
        return self._all().__await__()

    async def _all(self) -> list[M]:
        return [record async for record in self]

    async def __aiter__(self) -> AsyncIterator[M]:
        there = await self._query.limit(self._most + 1).count()
        if there > self._most:
            raise QueryError(
                f"{self._name}: a scan would read more than {self._most} records: narrow it with find(...), allow more "
                "with scan(most=...), or declare the field Tag or Range and find() by it"
            )
        async for batch in self._query.limit(self._most).batches(_BATCH):
            for record in batch:
                if self._test(record):
                    yield record


def warn(name: str) -> None:
    """Warn the caller of the caller of `scan`."""
    warnings.warn(
        f"{name}: scan() reads every record to test it in Python: if this is asked often, declare the field Tag or "
        "Range, reindex(), and find() by it",
        ScanWarning,
        stacklevel=3,
    )
