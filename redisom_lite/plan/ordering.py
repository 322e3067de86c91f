"""The order of an answer, decided on this side: sort keys, sorting, and where a page ends.

An *entry* is a member (primary key in sort form) with one sort key for every term that is not on the primary key: None,
a text's bytes, or (double, exact value). `None` sorts last in either direction; ties break by key in the direction of
the last term, among `None`s too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isinf
from typing import Any, TypeVar

from redisom_lite.keys import escape_text, text_member
from redisom_lite.plan.expression import IsNone, Term
from redisom_lite.plan.planner import Selection
from redisom_lite.schema.model_schema import FieldSpec, Kind

P = TypeVar("P")

Position = tuple[bytes, bytes]
"""Where find.lua walks on: (score, member), ("", text entry) or ("", member)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What decides a record's place."""

    member: bytes
    keys: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class After:
    """The last record of a page: its key and the stored texts of its order columns (`None`: the value is None)."""

    member: bytes
    texts: tuple[bytes | None, ...]


def columns(order: Sequence[Term]) -> list[FieldSpec]:
    """The fields that have a sort key: every term's but those on the primary key."""
    return [term.field for term in order if term.field.kind is not Kind.KEY]


def text_key(spec: FieldSpec, text: bytes | None) -> Any:
    """The sort key of a stored text."""
    if text is None or spec.kind is Kind.TEXT:
        return text
    if len(text) <= 15 and spec.codec.form in _PLAIN and b"E" not in text:
        return (float(text) + 0.0, 0)  # so few digits a double always gives back
    score = spec.codec.score(spec.codec.decode(text))
    return (score.number, 0) if score.exact is None else _inexact(spec, score.number, score.exact)


def score_key(spec: FieldSpec, score: bytes | None) -> Any:
    """The sort key of what find.lua gives for a wanted field: text, or a score with `=exact` where it is inexact."""
    if score is None or spec.kind is Kind.TEXT:
        return score
    double, _, exact = score.partition(b"=")
    return _inexact(spec, float(double), exact) if exact else (float(double), 0)


_PLAIN = frozenset(("int", "bool", "Decimal"))


def _inexact(spec: FieldSpec, number: float, form: bytes) -> Any:
    """A value beside its double: whether it lies below or above, then itself."""
    value = number_of(form)
    if isinf(number):
        return (number, -1 if number > 0 else 1, value)
    nearest = stands_for(spec, number)
    return (number, 0) if value == nearest else (number, 1 if value > nearest else -1, value)


def stands_for(spec: FieldSpec, number: float) -> Decimal:
    """The value of a column that its double alone stands for."""
    if spec.codec.form in ("Decimal", "float") or not number.is_integer():
        return Decimal(repr(number))
    return Decimal(int(number))


def number_of(form: bytes) -> Decimal:
    """A decimal sort form (see `codec.score`) as a number."""
    if form == b"0":
        return Decimal(0)
    exponent, _, digits = form[1:].partition(b":")
    sign = "-" if form[:1] == b"-" else ""
    return Decimal(f"{sign}Infinity" if len(exponent) > 18 else f"{sign}0.{digits.decode()}E{int(exponent)}")


def sort(pairs: Iterable[tuple[Entry, P]], order: Sequence[Term]) -> list[tuple[Entry, P]]:
    """Sort entries, each with its payload, by the terms."""
    ordered = sorted(pairs, key=lambda pair: pair[0].member, reverse=bool(order) and order[-1].descending)
    column = len(columns(order))
    for term in reversed(order):
        if term.field.kind is Kind.KEY:
            ordered.sort(key=lambda pair: pair[0].member, reverse=term.descending)
            continue
        column -= 1
        ordered = _by_column(ordered, column, descending=term.descending)
    return ordered


def _by_column(pairs: list[tuple[Entry, P]], column: int, *, descending: bool) -> list[tuple[Entry, P]]:
    valued = [pair for pair in pairs if pair[0].keys[column] is not None]
    valued.sort(key=lambda pair: pair[0].keys[column], reverse=descending)
    return valued + [pair for pair in pairs if pair[0].keys[column] is None]


def following(
    pairs: Iterable[tuple[Entry, P]], order: Sequence[Term], after: After | None
) -> list[tuple[Entry, P]]:
    """Sort, and keep what comes after the end of a page."""
    if after is None:
        return sort(pairs, order)
    keys = tuple(text_key(spec, text) for spec, text in zip(columns(order), after.texts, strict=True))
    end: tuple[Entry, Any] = (Entry(after.member, keys), None)
    ordered = sort([*(pair for pair in pairs if pair[0] != end[0]), end], order)
    place = next(n for n, pair in enumerate(ordered) if pair is end)
    return ordered[place + 1 :]


def position(primary: Term | None, after: After | None, *, whole_tie: bool = False) -> Position | None:
    """Where a walk of a plan's first order goes on. `whole_tie`: from the start of the last record's equals."""
    if after is None:
        return None
    if primary is None or primary.field.kind is Kind.KEY:
        return (b"", after.member)
    text = after.texts[0]
    if text is None:
        return None
    if primary.field.kind is Kind.TEXT:
        if whole_tie:
            return (b"", escape_text(text) + (b"\0\1" if primary.descending else b""))
        return (b"", text_member(text, after.member))
    score = primary.field.codec.score(primary.field.codec.decode(text)).text
    if whole_tie:
        return (score, b"\xff" if primary.descending else b"")
    return (score, after.member)


def rest(selection: Selection) -> Selection:
    """The second phase of an order: the records that have no value in its first column."""
    first, *others = selection.order
    order = tuple(others) or (Term(selection.schema.key, first.descending),)
    return Selection(selection.schema, (*selection.where, IsNone(first.field)), order)
