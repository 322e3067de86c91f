"""Bring a condition into the one shape the planner reads: a conjunction of clauses.

Negations sit on leaves only, nested conjunctions and disjunctions are flattened, ranges on one column of a conjunction
are merged, and what can be decided without data is (`NEVER`, `ALWAYS`). Meaning is kept for every record, `None`
values included: `~(x < 5)` is `x >= 5` or no x at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cmp_to_key
from itertools import pairwise
from typing import Final

from redisom_lite.codec import Score
from redisom_lite.keys import TEXT_END, escape_text
from redisom_lite.plan.expression import (
    And,
    Condition,
    HasToken,
    IsNone,
    KeyIn,
    LexRange,
    Not,
    NumberIn,
    NumberRange,
    Or,
    TextIn,
    TextPrefix,
    TextRange,
)
from redisom_lite.schema.model_schema import DEADLINE, FieldSpec, Kind

_AFTER: Final = b"\0\1"
"""Behind the entries of one text: `escape_text(v)` up to, and without, this after it (see `keys.escape_text`)."""

ALWAYS: Final = And(())
NEVER: Final = Or(())


def normalize(condition: Condition) -> tuple[Condition, ...]:
    """The clauses that must all hold; `(NEVER,)` when nothing can match, `()` when everything does."""
    simple = _simplify(condition, negated=False)
    clauses = simple.items if isinstance(simple, And) else (simple,)
    return (NEVER,) if NEVER in clauses else clauses


def _simplify(condition: Condition, *, negated: bool) -> Condition:
    match condition:
        case Not(item):
            return _simplify(item, negated=not negated)
        case And(items):
            parts = [_simplify(item, negated=negated) for item in items]
            return _either(parts) if negated else _both(parts)
        case Or(items):
            # united before it is negated, so that `not_in` of many values stays one test
            either = _either([_simplify(item, negated=False) for item in items])
            return _negation(either) if negated else either
        case _:
            leaf = _leaf(condition)
            if not negated:
                return leaf
            return ALWAYS if leaf == NEVER else _complement(leaf)


def _complement(leaf: Condition) -> Condition:
    """What a leaf leaves out: of a range open on one side an index read, else a negation, which only filters."""
    match leaf:
        case NumberRange(spec, None, Score() as high) if spec.name != DEADLINE:
            return _or_none(NumberRange(spec, high, None, low_open=not leaf.high_open))
        case NumberRange(spec, Score() as low, None) if spec.name != DEADLINE:
            return _or_none(NumberRange(spec, None, low, high_open=not leaf.low_open))
        case LexRange(spec, None, bytes() as high):
            return _or_none(LexRange(spec, high, None))
        case LexRange(spec, bytes() as low, None):
            return _or_none(LexRange(spec, None, low))
        case IsNone(spec) if spec.kind is Kind.NUMBER and spec.name != DEADLINE:
            return NumberRange(spec, None, None)
        case IsNone(spec) if spec.kind is Kind.TEXT:
            return LexRange(spec, None, None)
        case _:
            return Not(leaf)


def _or_none(rest: NumberRange | LexRange) -> Condition:
    return Or((rest, IsNone(rest.field))) if rest.field.nullable else rest


def _negation(either: Condition) -> Condition:
    choices = either.items if isinstance(either, Or) else (either,)
    return _both([_simplify(choice, negated=True) for choice in choices])


def _leaf(condition: Condition) -> Condition:
    match condition:
        case TextRange() | TextPrefix():
            return _lex(condition)
        case HasToken(tokens=()) | KeyIn(members=()):
            return NEVER
        case NumberRange():
            return NEVER if _empty(condition) else condition
        case _:
            return condition


def _lex(condition: TextRange | TextPrefix) -> Condition:
    """Text bounds over index entries (value, 00 00, key), lowest included, highest excluded."""
    if isinstance(condition, TextPrefix):
        start = escape_text(condition.prefix)
        return LexRange(condition.field, start, start + b"\xff")
    low = high = None
    if condition.low is not None:
        low = escape_text(condition.low) + (b"\0\1" if condition.low_open else b"")
    if condition.high is not None:
        high = escape_text(condition.high) + (TEXT_END if condition.high_open else b"\0\1")
    return _merged_lex(LexRange(condition.field, low, None), LexRange(condition.field, None, high))


def _both(parts: Iterable[Condition]) -> Condition:
    clauses: list[Condition] = []
    for clause in _excluded([clause for part in parts for clause in _conjuncts(part)]):
        merged = clause
        for other in clauses:
            joined = _merge(other, clause)
            if joined is not None:
                clauses.remove(other)
                merged = joined
                break
        if merged == NEVER:
            return NEVER
        if merged not in clauses:
            clauses.append(merged)
    return clauses[0] if len(clauses) == 1 else And(tuple(clauses))


def _conjuncts(part: Condition) -> tuple[Condition, ...]:
    return part.items if isinstance(part, And) else (part,)


def _excluded(clauses: list[Condition]) -> list[Condition]:
    """Conditions of which those that exclude single values of one field are one."""
    items = [clause.item for clause in clauses if isinstance(clause, Not)]
    if len(items) < 2:
        return clauses
    return [*(each for each in clauses if not isinstance(each, Not)), *map(Not, _united(items))]


def _either(parts: Iterable[Condition]) -> Condition:
    found: dict[Condition, None] = {}
    for part in parts:
        if part == ALWAYS:
            return ALWAYS
        found.update(dict.fromkeys(part.items if isinstance(part, Or) else (part,)))
    choices = _united(list(found))
    return choices[0] if len(choices) == 1 else Or(tuple(choices))


def _united(choices: list[Condition]) -> list[Condition]:
    """Tests of one field for single values become one test for any of them."""
    groups: dict[object, list[_Several | Or]] = {}
    for choice in choices:
        several = _several(choice)
        key = choice if isinstance(several, Or) else (type(several), several.field)
        groups.setdefault(key, []).append(several)
    return [_alone(_joined(group)) for group in groups.values()]


_Several = NumberIn | TextIn | HasToken


def _several(choice: Condition) -> _Several | Or:
    """A choice as a test for any of several values, or an alternative of its own."""
    match choice:
        case NumberIn() | TextIn() | HasToken():
            return choice
        case NumberRange(spec, Score() as low, Score() as high) if compare(low, high) == 0:
            return NumberIn(spec, (low,))
        case LexRange(spec, bytes() as low, bytes() as high) if high == low + _AFTER:
            return TextIn(spec, (low,))
        case _:
            return Or((choice,))


def _joined(group: list[_Several | Or]) -> Condition:
    """Tests of one kind for values of one field, as one."""
    match group[0]:
        case NumberIn(spec):
            return NumberIn(
                spec, _sorted(value for each in group if isinstance(each, NumberIn) for value in each.values)
            )
        case TextIn(spec):
            return TextIn(
                spec,
                tuple(sorted({text for each in group if isinstance(each, TextIn) for text in each.texts})),
            )
        case HasToken(spec):
            tokens = (token for each in group if isinstance(each, HasToken) for token in each.tokens)
            return HasToken(spec, tuple(dict.fromkeys(tokens)))
        case alternative:
            return alternative


def _sorted(values: Iterable[Score]) -> tuple[Score, ...]:
    ordered = sorted(values, key=cmp_to_key(compare))
    return tuple(one for n, one in enumerate(ordered) if not n or compare(ordered[n - 1], one))


def _alone(choice: Condition) -> Condition:
    match choice:
        case Or((only,)):
            return only
        case NumberIn(spec, (only,)):
            return NumberRange(spec, only, only)
        case TextIn(spec, (only,)):
            return LexRange(spec, only, only + _AFTER)
        case _:
            return choice


def _merge(one: Condition, other: Condition) -> Condition | None:
    """The intersection of two ranges on one column, or None when they are not."""
    match one, other:
        case NumberRange(), NumberRange() if one.field is other.field:
            return _merged_numbers(one, other)
        case LexRange(), LexRange() if one.field is other.field:
            return _merged_lex(one, other)
        case NumberIn(), NumberRange() if one.field is other.field:
            kept = tuple(value for value in one.values if _within(other, value))
            return _alone(NumberIn(one.field, kept)) if kept else NEVER
        case NumberRange(), NumberIn() if one.field is other.field:
            return _merge(other, one)
        case KeyIn(), KeyIn():
            known = frozenset(other.members)
            shared = tuple(member for member in one.members if member in known)
            return KeyIn(one.field, shared) if shared else NEVER
        case ((NumberRange(spec) | LexRange(spec)), IsNone(empty)) if spec is empty:
            return NEVER
        case IsNone(empty), (NumberRange(spec) | LexRange(spec)) if spec is empty:
            return NEVER
        case Or(choices), (NumberRange(spec) | LexRange(spec)) if choices and _all_of(choices, spec):
            return _either(_both((choice, other)) for choice in choices)
        case ((NumberRange() | LexRange()), Or()):
            return _merge(other, one)
        case _:
            return None


def _all_of(choices: Iterable[Condition], spec: FieldSpec) -> bool:
    return all(
        isinstance(choice, NumberRange | LexRange | IsNone) and choice.field is spec for choice in choices
    )


def _merged_numbers(one: NumberRange, other: NumberRange) -> Condition:
    low, low_open = one.low, one.low_open
    if other.low is not None and (low is None or _tighter(other.low, other.low_open, low, low_open, 1)):
        low, low_open = other.low, other.low_open
    high, high_open = one.high, one.high_open
    if other.high is not None and (
        high is None or _tighter(other.high, other.high_open, high, high_open, -1)
    ):
        high, high_open = other.high, other.high_open
    merged = NumberRange(one.field, low, high, low_open, high_open)
    return NEVER if _empty(merged) else merged


def compare(one: Score, other: Score) -> int:
    """-1, 0 or 1: the order of the values themselves, not of their doubles."""
    if one.number != other.number:
        return -1 if one.number < other.number else 1
    return (one.value > other.value) - (one.value < other.value)


def _tighter(bound: Score, is_open: bool, than: Score, than_open: bool, sign: int) -> bool:
    order = compare(bound, than) * sign
    return order > 0 or (order == 0 and is_open and not than_open)


def _empty(condition: NumberRange) -> bool:
    if condition.low is None or condition.high is None:
        return False
    order = compare(condition.low, condition.high)
    return order > 0 or (order == 0 and (condition.low_open or condition.high_open))


def _within(bounds: NumberRange, value: Score) -> bool:
    return _merged_numbers(bounds, NumberRange(bounds.field, value, value)) != NEVER


def _merged_lex(one: LexRange, other: LexRange) -> Condition:
    lows = [low for low in (one.low, other.low) if low is not None]
    highs = [high for high in (one.high, other.high) if high is not None]
    low, high = max(lows, default=None), min(highs, default=None)
    if low is not None and high is not None and low >= high:
        return NEVER
    return LexRange(one.field, low, high)


def numbers_apart(ranges: Sequence[NumberRange]) -> bool:
    """Whether no value lies in two of these ranges of one column."""
    if any(each.low is None or each.high is None for each in ranges):
        return len(ranges) < 2
    ordered = sorted(ranges, key=cmp_to_key(_by_low))
    return all(_before(one, other) for one, other in pairwise(ordered))


def _by_low(one: NumberRange, other: NumberRange) -> int:
    assert one.low is not None
    assert other.low is not None
    return compare(one.low, other.low)


def _before(one: NumberRange, other: NumberRange) -> bool:
    assert one.high is not None
    assert other.low is not None
    order = compare(one.high, other.low)
    return order < 0 or (order == 0 and (one.high_open or other.low_open))


def texts_apart(ranges: Sequence[LexRange]) -> bool:
    """Whether no entry lies in two of these ranges of one column."""
    edges = sorted((each.low or b"", each.high) for each in ranges if each.high is not None)
    return len(ranges) < 2 or (
        len(edges) == len(ranges) and all(one[1] <= other[0] for one, other in pairwise(edges))
    )
