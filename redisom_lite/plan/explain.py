"""What a query would do, in words: the plan that `Query.explain` shows.

Pure: turns a planned query and the server's decision about it into text, a dict, and advice. Values never appear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Final

from redisom_lite.plan.expression import Condition, HasToken, LexRange, NumberRange
from redisom_lite.plan.ordering import rest
from redisom_lite.plan.planner import LOADED, Path, QueryPlan, describe, plan, portion_count, together
from redisom_lite.plan.slicing import slice_count
from redisom_lite.schema.model_schema import Kind

_STRATEGIES: Final = {
    "W": "walk the order's index, test, stop at the limit",
    "G": "gather from the driver, sort, take the first",
    "S": "read all of the driver, test",
    "K": "read sort keys first, then the records wanted",
    "-": "nothing can match: no call is made",
}
_WASTEFUL: Final = 10
"""Examining this many times what is answered is worth a warning."""


@dataclass(frozen=True, slots=True)
class AccessPath:
    """One way to the candidates: what it reads, and how many index entries that is now."""

    reads: str
    entries: int


@dataclass(frozen=True, slots=True)
class Actual:
    """What a run took: round trips, index entries examined, records found, milliseconds as seen from here."""

    round_trips: int
    examined: int
    found: int
    ms: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query runs.

    `strategy` is one of walk, gather, stream, keys, nothing; `driver` the access path that bounds the work; `paths` all
    that were weighed, `filters` what is tested on each candidate. `examined` and `round_trips` are estimates, `actual`
    (with `analyze=True`) what a run took.
    """

    model: str
    strategy: str
    how: str
    driver: AccessPath | None
    paths: tuple[AccessPath, ...]
    filters: tuple[str, ...]
    order: tuple[str, ...]
    limit: int | None
    offset: int
    records: int
    examined: int
    round_trips: int
    warnings: tuple[str, ...]
    actual: Actual | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dicts, lists, texts and numbers."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.model}: {self.strategy} ({self.how})"]
        if self.driver is not None:
            lines.append(
                f"  driver   {self.driver.reads}: {self.driver.entries:,} of {self.records:,} records"
            )
        lines += [f"  or       {path.reads}: {path.entries:,}" for path in self.paths if path != self.driver]
        lines += [f"  filter   {text}" for text in self.filters]
        lines.append(f"  order    {', '.join(self.order)}")
        if self.limit is not None or self.offset:
            lines.append(
                f"  limit    {'all' if self.limit is None else f'{self.limit:,}'}, after {self.offset:,}"
            )
        lines.append(f"  expect   {self.examined:,} entries examined, {_times(self.round_trips)}")
        if self.actual is not None:
            took = self.actual
            lines.append(
                f"  actual   {took.examined:,} entries examined, {took.found:,} found, {_times(took.round_trips)}, "
                f"{took.ms:.1f} ms"
            )
        lines += [f"  warning  {text}" for text in self.warnings]
        return "\n".join(lines)


def _times(count: int) -> str:
    return "1 round trip" if count == 1 else f"{count:,} round trips"


_NAMES: Final = {"W": "walk", "G": "gather", "S": "stream", "K": "keys", "-": "nothing"}


def explained(
    query: QueryPlan, strategy: str, chosen: int, records: int, sizes: Sequence[int], *, budget: int
) -> Plan:
    """The plan of a query.

    `strategy` and `chosen` (a position among the paths weighed, from 0) are the server's decision, `sizes` the entries
    of those paths, `records` the model's; `budget` the entries one call examines.
    """
    selection = query.selection
    if query.impossible:
        strategy = "-"
    paths = () if strategy == "-" else query.paths_for(every=selection.limit is not None)
    shown = tuple(AccessPath(path.label, size) for path, size in zip(paths, sizes, strict=False))
    driver = shown[chosen] if chosen < len(shown) else None
    path = paths[chosen] if driver is not None else None
    filters = _filters(query, path)
    examined = _examined(query, strategy, path, driver, shown, records)
    return Plan(
        model=selection.schema.model,
        strategy=_NAMES[strategy],
        how=_STRATEGIES[strategy],
        driver=driver,
        paths=shown,
        filters=filters,
        order=tuple(f"{term.field.name} {'desc' if term.descending else 'asc'}" for term in selection.order)
        or (f"{selection.schema.key.name} asc",),
        limit=selection.limit,
        offset=selection.offset,
        records=records,
        examined=examined,
        round_trips=_round_trips(query, strategy, driver, examined, budget),
        warnings=tuple(_warnings(query, strategy, path, examined, records)),
    )


def _filters(query: QueryPlan, path: Path | None) -> tuple[str, ...]:
    covered = path.covers if path is not None else frozenset[int]()
    return tuple(describe(clause) for n, clause in enumerate(query.clauses) if n not in covered)


def _examined(
    query: QueryPlan,
    strategy: str,
    path: Path | None,
    driver: AccessPath | None,
    paths: Sequence[AccessPath],
    records: int,
) -> int:
    """Entries expected to be examined: all of the driver's, or for a walk as many as the limit needs."""
    if driver is None or path is None:
        return 0
    limit = query.selection.limit
    if strategy != "W" or limit is None:
        return driver.entries
    share = 1.0
    for other, size in zip(query.paths_for(every=True), paths, strict=False):
        if records and (other.covers - path.covers or not (other.covers or other is path)):
            share = min(share, size.entries / records)
    needed = limit + query.selection.offset
    return min(driver.entries, ceil(needed / max(share, 1 / (records + 1))))


def _round_trips(
    query: QueryPlan, strategy: str, driver: AccessPath | None, examined: int, budget: int
) -> int:
    if strategy == "-":
        return 0
    limit = query.selection.limit
    rows = examined if limit is None else min(examined, limit)
    calls = max(slice_count(query), ceil(examined / budget))
    if rows > together(limit):
        calls += portion_count(rows) if limit is None else ceil(rows / LOADED)
    if strategy == "K" or not query.single:
        calls += 1  # sort keys first
    return calls + (limit is not None and driver is not None and _goes_on(query, driver))


def _goes_on(query: QueryPlan, driver: AccessPath) -> bool:
    """Whether the limit is not reached by records with a value, so that those without are asked for next."""
    selection = query.selection
    if query.primary is None or not query.primary.field.nullable or selection.limit is None:
        return False
    return driver.entries < selection.limit + selection.offset and not plan(rest(selection)).impossible


def _warnings(query: QueryPlan, strategy: str, path: Path | None, examined: int, records: int) -> list[str]:
    found: list[str] = []
    limit = query.selection.limit
    wanted = records if limit is None else limit + query.selection.offset
    if path is not None and not path.covers and query.clauses and strategy != "-":
        found.append("no condition narrows the search: every record is a candidate")
    if limit is not None and examined > max(1000, _WASTEFUL * wanted):
        found.append(f"about {examined:,} entries are examined for at most {wanted:,} records")
    if not query.single:
        found.append("several order terms: sort keys are read for every tie of the first")
    if path is not None and any(
        isinstance(c, LexRange) for n, c in enumerate(query.clauses) if n not in path.covers
    ):
        found.append("a text condition as a filter reads every candidate's record")
    suggestion = _composite(query)
    if suggestion is not None and (path is None or not path.label.startswith("composite")):
        found.append(f'Composite("{suggestion[0]}", "{suggestion[1]}") would answer this from one index')
    return found


def _composite(query: QueryPlan) -> tuple[str, str] | None:
    """A tag and a range of one query that no declared composite joins."""
    tags = [name for clause in query.clauses for name in _tags(clause)]
    numbers = [clause.field.name for clause in query.clauses if isinstance(clause, NumberRange)]
    numbers += [term.field.name for term in query.selection.order if term.field.kind is Kind.NUMBER]
    declared = {(spec.tag, spec.range) for spec in query.selection.schema.composites}
    known = query.selection.schema.by_name
    pairs = [(tag, number) for number in numbers if number in known for tag in tags]
    return next((pair for pair in pairs if pair not in declared), None)


def _tags(clause: Condition) -> list[str]:
    return [clause.field.name] if isinstance(clause, HasToken) and clause.field.kind is Kind.TAG else []
