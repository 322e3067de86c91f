"""Conditions tested on this side: whether a row, as it was read, satisfies what led to it.

A record found through an index may have changed by the time its row is read. What find.lua would say of the row is
said here, of every digit and of `None` alike, so that rows can be read on their own, many in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from redisom_lite.codec import Score
from redisom_lite.keys import escape_text, text_member
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
from redisom_lite.plan.normalize import compare
from redisom_lite.schema.model_schema import FieldSpec, ModelSchema

Row = list[bytes | None]

Test = Callable[[bytes, Row], bool]
"""Tests a record by its member (primary key in sort form) and its whole row. Raises `UnclearError`."""

_TextTest = Callable[[bytes], bool]
_KNOWN: Final = 1000  # answers
_SHORT: Final = 15  # so many digits a double always gives back
_PLAIN: Final = frozenset(("int", "bool", "Decimal"))


class UnclearError(Exception):
    """The row lacks the field, which then has its default, or holds text of another type: the index decides."""


def fields_of(condition: Condition) -> frozenset[FieldSpec]:
    """The fields a normalized condition tests."""
    match condition:
        case And(items) | Or(items):
            return frozenset(field for item in items for field in fields_of(item))
        case Not(item):
            return fields_of(item)
        case _:
            return frozenset((condition.field,))  # type: ignore[attr-defined]  # every leaf has one


def test_of(schema: ModelSchema, clauses: Sequence[Condition]) -> Test:
    """The test that all of these normalized clauses hold; the deadline, which no row has, must not be among them."""
    return _all([_test(schema, clause) for clause in clauses])


def _all(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda member, row: all(test(member, row) for test in tests)


def _test(schema: ModelSchema, condition: Condition) -> Test:
    match condition:
        case And(items):
            return _all([_test(schema, item) for item in items])
        case Or(items):
            tests = [_test(schema, item) for item in items]
            return lambda member, row: any(test(member, row) for test in tests)
        case Not(item):
            test = _test(schema, item)
            return lambda member, row: not test(member, row)
        case KeyIn(_, members):
            listed = frozenset(members)
            return lambda member, row: member in listed
        case KeyRange(_, low, high):
            return lambda member, row: (low or b"") <= member and (high is None or member < high)
        case IsNone(field):
            return _of_none(schema, field)
        case LexRange(field):
            return _of_entry(schema, condition)
        case NumberRange(field):
            return _of_text(schema, field, _in_range(condition))
        case NumberIn(field, values):
            return _of_text(schema, field, _among(field, values))
        case TextIn(field, texts):
            wanted = frozenset(texts)
            return _of_text(schema, field, lambda text: escape_text(text) in wanted)
        case HasToken(field, tokens):
            return _of_text(schema, field, _tagged(field, frozenset(tokens)))
        case _:
            raise AssertionError(f"{type(condition).__name__} is no leaf of a normalized condition")


# What is absent is None only where the record says so.


def _is_null(schema: ModelSchema, field: FieldSpec, row: Row) -> bool:
    if field.word in (row[len(schema.fields)] or b"").split(b","):
        return True
    raise UnclearError


def _of_none(schema: ModelSchema, field: FieldSpec) -> Test:
    position = field.position
    return lambda member, row: row[position] is None and _is_null(schema, field, row)


def _of_text(schema: ModelSchema, field: FieldSpec, holds: _TextTest) -> Test:
    """Texts recur, and each is judged once."""
    position = field.position
    known: dict[bytes, bool] = {}

    def test(member: bytes, row: Row) -> bool:
        text = row[position]
        if text is None:
            return not _is_null(schema, field, row)
        answer = known.get(text)
        if answer is None:
            if len(known) == _KNOWN:
                known.clear()
            answer = known[text] = holds(text)
        return answer

    return test


def _of_entry(schema: ModelSchema, condition: LexRange) -> Test:
    field, low, high = condition.field, condition.low or b"", condition.high

    def test(member: bytes, row: Row) -> bool:
        text = row[field.position]
        if text is None:
            return not _is_null(schema, field, row)
        entry = text_member(text, member)
        return low <= entry and (high is None or entry < high)

    return test


# Texts.


def _score(field: FieldSpec, text: bytes) -> Score:
    try:
        return field.codec.score(field.codec.decode(text))
    except (TypeError, ValueError):
        raise UnclearError from None


def _double_of(field: FieldSpec) -> Callable[[bytes], float]:
    """A stored number as the double that orders it first."""
    plain = field.codec.form in _PLAIN

    def double(text: bytes) -> float:
        if plain and len(text) <= _SHORT:
            try:
                return float(text)
            except ValueError:
                raise UnclearError from None
        return _score(field, text).number

    return double


def _in_range(condition: NumberRange) -> _TextTest:
    field, low, high = condition.field, condition.low, condition.high
    low_open, high_open = condition.low_open, condition.high_open
    least = low.number if low is not None else float("-inf")
    greatest = high.number if high is not None else float("inf")
    plain = field.codec.form in _PLAIN
    exact = plain and not any(bound is not None and bound.exact for bound in (low, high))

    def holds(text: bytes) -> bool:
        short = plain and len(text) <= _SHORT
        try:
            number = float(text) if short else _score(field, text).number
        except ValueError:
            raise UnclearError from None
        if least < number < greatest:
            return True
        if number < least or number > greatest:
            return False
        if short and exact and text.lstrip(b"-").isdigit():  # it is what its double is, and so are the bounds
            return not ((low_open and number == least) or (high_open and number == greatest))
        score = _score(field, text)
        return (low is None or (compare(score, low) > 0 if low_open else compare(score, low) >= 0)) and (
            high is None or (compare(score, high) < 0 if high_open else compare(score, high) <= 0)
        )

    return holds


def _among(field: FieldSpec, values: Sequence[Score]) -> _TextTest:
    double = _double_of(field)
    by_double: dict[float, list[Score]] = {}
    for value in values:
        by_double.setdefault(value.number, []).append(value)

    def holds(text: bytes) -> bool:
        near = by_double.get(double(text))
        return near is not None and any(compare(_score(field, text), value) == 0 for value in near)

    return holds


def _tagged(field: FieldSpec, tokens: frozenset[bytes]) -> _TextTest:
    """Whether a tag's text stands for one of the tokens."""
    member = field.member

    def holds(text: bytes) -> bool:
        try:
            value = field.codec.decode(text)
            found = [field.codec.token(value)] if member is None else [member.token(each) for each in value]
        except (TypeError, ValueError):
            raise UnclearError from None
        return not tokens.isdisjoint(found)

    return holds
