"""Lists of thousands of values, asked for slice by slice: what a call carries, the server reads before anything else.

A query whose conditions list many values becomes several that list a part of them each; every record that satisfies
the one satisfies at least one of the others, and exactly one where they are `apart`. Only lists that every answer must
be in are cut: what `not_in` excludes, and a list beside an alternative, travel whole with each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from math import ceil
from typing import Final, TypeVar

from redisom_lite.plan.expression import And, Condition, HasToken, KeyIn, Not, NumberIn, Or, TextIn
from redisom_lite.plan.prepared import Prepared, prepare

T = TypeVar("T")

LONGEST: Final = 2000
"""How many words of one list a call may carry; of a number there are three."""
KEYS: Final = 1000
"""How many keys: as many as a call can look up."""
_FEW: Final = 50


def is_cut(query: Prepared) -> bool:
    """Whether `slices` are several."""
    return not query.shared and any(len(_parts(clause)) > 1 for clause in query.clauses)


def are_apart(query: Prepared) -> bool:
    """Whether no record satisfies two of the slices: each has one value of what is listed."""
    return query.shared or not any(
        isinstance(clause, HasToken) and clause.field.multiple and len(_parts(clause)) > 1
        for clause in query.clauses
    )


def slices(query: Prepared, holds: Callable[[bytes], bool] | None = None) -> Iterator[Prepared]:
    """Queries whose answers together are those of this one; `holds` says which keys are worth asking for."""
    clauses = query.clauses if holds is None else [_held(clause, holds) for clause in query.clauses]
    for where in product(*map(_parts, clauses)):
        part = prepare(query.selection._replace(where=where))
        if not part.statement.impossible:
            yield part


def _held(clause: Condition, holds: Callable[[bytes], bool]) -> Condition:
    if isinstance(clause, KeyIn):
        return KeyIn(clause.field, tuple(filter(holds, clause.members)))
    return clause


def slice_count(clauses: Iterable[Condition]) -> int:
    """How many slices conditions come to."""
    count = 1
    for clause in clauses:
        count *= len(_parts(clause))
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
    match condition:
        case And(items):
            return And(tuple([narrowed(item, members) for item in items]))
        case Or(items):
            return Or(tuple([narrowed(item, members) for item in items]))
        case Not(item):
            return Not(narrowed(item, members))
        case KeyIn(field, listed):
            return KeyIn(field, tuple(filter(members.__contains__, listed)))
        case _:
            return condition


def _parts(clause: Condition) -> Sequence[Condition]:
    match clause:
        case KeyIn(field, members) if len(members) > KEYS:
            return [KeyIn(field, part) for part in _cut(members, KEYS)]
        case TextIn(field, texts) if len(texts) > LONGEST:
            return [TextIn(field, part) for part in _cut(texts, LONGEST)]
        case HasToken(field, tokens) if len(tokens) > LONGEST:
            return [HasToken(field, part) for part in _cut(tokens, LONGEST)]
        case NumberIn(field, values) if 3 * len(values) > LONGEST:
            return [NumberIn(field, part) for part in _cut(values, max(1, LONGEST // 3))]
        case _:
            return (clause,)


def _cut(values: tuple[T, ...], longest: int) -> Iterator[tuple[T, ...]]:
    """Parts of nearly one length."""
    count = ceil(len(values) / longest)
    size = ceil(len(values) / count)
    return (values[first : first + size] for first in range(0, len(values), size))
