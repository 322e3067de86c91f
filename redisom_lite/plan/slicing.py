"""Lists of thousands of values, asked for slice by slice: what a call carries, the server reads before anything else.

A query whose conditions list many values becomes several that list a part of them each; every record that satisfies
the one satisfies at least one of the others, and exactly one where they are `apart`. Listed values are cut into parts,
alternatives into groups. What is excluded is cut where it has an order: each slice is about the values (or keys) from
one excluded to another, and excludes those between. Only excluded tags and unique values travel whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise, product
from math import ceil
from typing import Any, Final, TypeAlias, TypeVar

from redisom_lite.plan.expression import (
    And,
    Condition,
    HasToken,
    IsNone,
    KeyIn,
    KeyRange,
    LexRange,
    Not,
    NumberIn,
    NumberRange,
    Or,
    TextIn,
)
from redisom_lite.plan.planner import QueryPlan, apart
from redisom_lite.plan.prepared import Prepared, prepare
from redisom_lite.schema.model_schema import FieldSpec

T = TypeVar("T")

_Ranged: TypeAlias = Callable[[Any, Any], Condition]
"""Makes a condition of where a range begins, and what it ends before."""

LONGEST: Final = 1000
"""How many words of one condition a call may carry."""
_LEAF: Final = 16
"""As many words of a list take as long as a condition that lists none."""
_JOINED: Final = 8
"""As many as a tag that a composite reads."""
_LONG: Final = 64  # bytes
_FEW: Final = 50


def is_cut(query: Prepared) -> bool:
    """Whether `slices` are several."""
    return not query.shared and any(len(parts) > 1 for parts in _cut(query.planned, query.clauses))


def are_apart(query: Prepared) -> bool:
    """Whether no record satisfies two of the slices."""
    return query.shared or all(
        len(parts) == 1 or isinstance(clause, Not) or apart(clause)
        for clause, parts in zip(query.clauses, _cut(query.planned, query.clauses), strict=True)
    )


def slices(query: Prepared, holds: Callable[[bytes], bool] | None = None) -> Iterator[Prepared]:
    """Queries whose answers together are those of this one; `holds` says which keys are worth asking for."""
    clauses = query.clauses if holds is None else [_held(clause, holds) for clause in query.clauses]
    for where in product(*_cut(query.planned, clauses)):
        part = prepare(query.selection._replace(where=where))
        if not part.statement.impossible:
            yield part


def slice_count(query: QueryPlan) -> int:
    """How many slices a query comes to."""
    count = 1
    for parts in _cut(query, query.clauses):
        count *= len(parts)
    return count


def lists_keys(condition: Condition) -> bool:
    """Whether a condition lists so many keys that it is worth narrowing."""
    match condition:
        case And(items) | Or(items):
            return any(map(lists_keys, items))
        case Not(item):
            return lists_keys(item)
        case KeyIn(_, members):
            return len(members) > _FEW
        case _:
            return False


def narrowed(condition: Condition, members: frozenset[bytes]) -> Condition:
    """What a condition says of these records: of the keys it lists, only theirs matter."""
    return _held(condition, members.__contains__)


def _held(condition: Condition, holds: Callable[[bytes], bool]) -> Condition:
    match condition:
        case And(items):
            return And(tuple([_held(item, holds) for item in items]))
        case Or(items):
            return Or(tuple([_held(item, holds) for item in items]))
        case Not(item):
            return Not(_held(item, holds))
        case KeyIn(field, members):
            return KeyIn(field, tuple(filter(holds, members)))
        case _:
            return condition


def _cut(query: QueryPlan, clauses: Sequence[Condition]) -> Iterator[Sequence[Condition]]:
    """The parts of each clause."""
    for position, clause in enumerate(clauses):
        joined = any(path.index and position in path.covers for path in query.paths)
        yield _parts(clause, max(1, LONGEST // _JOINED) if joined else LONGEST)


def _parts(clause: Condition, longest: int) -> Sequence[Condition]:
    if _weight(clause) <= longest:
        return (clause,)
    match clause:
        case NumberIn(field, listed) | TextIn(field, listed) | KeyIn(field, listed) | HasToken(field, listed):
            kind: Any = type(clause)
            return [kind(field, run) for run in _runs(listed, longest)]
        case Not(NumberIn(field, values)):
            ranged = partial(NumberRange, field, high_open=True)
            return list(_between(field, values, longest, NumberIn, ranged))
        case Not(TextIn(field, texts)):
            return list(_between(field, texts, longest, TextIn, partial(LexRange, field)))
        case Not(KeyIn(field, members)):
            return list(_between(field, tuple(sorted(members)), longest, KeyIn, partial(KeyRange, field)))
        case And(items):
            return [And(each) for each in product(*[_parts(item, longest) for item in items])]
        case Or(items):
            parts = [part for item in items for part in _parts(item, longest)]
            return [Or(group) for group in _groups(parts, longest)]
        case _:
            return (clause,)


def _weight(condition: Condition) -> int:
    """About how many words a condition has."""
    match condition:
        case And(items) | Or(items):
            return sum(map(_weight, items))
        case Not(item):
            return _weight(item)
        case NumberIn(_, listed) | TextIn(_, listed) | KeyIn(_, listed) | HasToken(_, listed):
            return _words(listed)
        case _:
            return _LEAF


def _words(listed: Sequence[Any]) -> int:
    """How many words a list has; long ones count for several."""
    size = sum(len(each) for each in listed if isinstance(each, bytes))
    return max(len(listed), size // _LONG)


def _runs(values: Sequence[T], longest: int) -> list[tuple[T, ...]]:
    """Parts of nearly one length."""
    size = ceil(len(values) / ceil(_words(values) / longest))
    return [tuple(values[first : first + size]) for first in range(0, len(values), size)]


def _between(
    field: FieldSpec, values: Sequence[T], longest: int, listed: Callable[..., Condition], ranged: _Ranged
) -> Iterator[Condition]:
    """What is left when these values, ascending, are excluded: ranges, each with those excluded in it."""
    runs = _runs(values, longest)
    firsts = [None, *(run[0] for run in runs[1:]), None]
    for run, (low, high) in zip(runs, pairwise(firsts), strict=True):
        yield And((ranged(low, high), Not(listed(field, run))))
    if field.nullable:
        yield IsNone(field)


def _groups(items: Sequence[Condition], longest: int) -> Iterator[tuple[Condition, ...]]:
    """Alternatives, as many together as are not too long."""
    group, weight = list[Condition](), 0
    for item in items:
        if group and weight + _weight(item) > longest:
            yield tuple(group)
            group, weight = [], 0
        group.append(item)
        weight += _weight(item)
    yield tuple(group)
