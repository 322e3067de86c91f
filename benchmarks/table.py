"""The rows that are loaded, as far as questions depend on them, and what the right answers are.

An answer is compared with what filtering and sorting these rows gives. Records of equal rank may come in any order, so
that of an ordered page the ranks are compared, and each id for itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple


class Line(NamedTuple):
    """What of a row is asked for."""

    id: int
    carrier: str
    dest: str
    dep_delay: int | None
    arr_delay: int | None
    tailnum: str

    @classmethod
    def of(cls, row: dict[str, Any]) -> Line:
        """A row of the table."""

        def number(name: str) -> int | None:
            return int(row[name]) if name in row else None

        return cls(
            row["id"],
            row["carrier"],
            row["dest"],
            number("dep_delay"),
            number("arr_delay"),
            row.get("tailnum", ""),
        )


Test = Callable[[Line], Any]
Check = Callable[[Any], bool]
"""Whether an answer is right."""


class Table:
    """The rows that every contender holds."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines

    def any_order(self, test: Test) -> Check:
        """The ids of all lines that pass, once each."""
        wanted = cache(lambda: [line.id for line in self.lines if test(line)])
        return lambda answer: sorted(answer) == wanted()

    def ordered(self, test: Test, rank: Callable[[Line], int], limit: int) -> Check:
        """The ids of the lowest lines that pass, in order of rank."""
        wanted = cache(lambda: sorted(rank(line) for line in self.lines if test(line))[:limit])

        def check(answer: Any) -> bool:
            given = [self.lines[pk] for pk in answer]
            once = len(set(answer)) == len(answer)
            return once and all(map(test, given)) and [rank(line) for line in given] == wanted()

        return check

    def count(self, test: Test) -> Check:
        """How many lines pass."""
        wanted = cache(lambda: sum(1 for line in self.lines if test(line)))
        return lambda answer: bool(answer == wanted())

    def facets(self) -> Check:
        """The lines of each carrier."""
        wanted = cache(lambda: Counter(line.carrier for line in self.lines))
        return lambda answer: bool(answer == wanted())

    @cached_property
    def _delays(self) -> list[int]:
        return sorted(line.dep_delay for line in self.lines if line.dep_delay is not None)

    def bounds(self, wanted: int) -> tuple[int, int]:
        """Departure delays that about so many lines lie between: late ones, as few values as it takes."""
        delays = self._delays
        high = delays[-max(1, len(delays) // 200)]
        end = bisect_left(delays, high + 1)
        low = delays[max(0, end - wanted)]
        return low, high

    def prefix(self, wanted: int) -> str:
        """A beginning of tail numbers that about so many lines have."""
        counts = Counter(
            line.tailnum[:n] for line in self.lines for n in range(2, 6) if len(line.tailnum) >= n
        )
        return min(counts, key=lambda prefix: (abs(counts[prefix] - wanted), prefix))
