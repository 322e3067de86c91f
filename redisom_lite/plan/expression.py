"""Conditions as data: what `Product.price < 5` builds, before anything is planned.

A condition is a frozen tree of `And`, `Or`, `Not` over leaves. Operands are already encoded by the column's codec
when a leaf is made, so a wrong type fails where it is written. `&`, `|` and `~` combine; truth has no meaning here, and
asking for it raises, so that `and`, `or`, `not` and `a < x < b` cannot silently lose a condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from redisom_lite.codec import Score
from redisom_lite.schema.model_schema import FieldSpec


class Condition:
    """A test on one record. Combine with `&`, `|`, `~`; pass several to `find` to require all."""

    __slots__ = ()

    def __and__(self, other: Condition) -> Condition:
        return And((*_items(self, And), _condition(other)))

    def __or__(self, other: Condition) -> Condition:
        return Or((*_items(self, Or), _condition(other)))

    def __invert__(self) -> Condition:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a condition has no truth value: combine conditions with & | ~ (not `and`, `or`, `not`), "
            "and write a chained comparison as column.between(low, high)"
        )


def _items(condition: Condition, kind: type[And | Or]) -> tuple[Condition, ...]:
    """What a longer conjunction or alternative begins with: it stays flat, however many are added one by one."""
    return condition.items if isinstance(condition, kind) else (condition,)


def _condition(value: object) -> Condition:
    """What stands beside a condition must be one: an unindexed field, say, compares to a plain bool."""
    if isinstance(value, Condition):
        return value
    raise TypeError(
        f"a condition combines with conditions, not with {type(value).__name__}: compare indexed columns"
    )


@dataclass(frozen=True, slots=True)
class And(Condition):
    """Every item holds; with no items, always true."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or(Condition):
    """Some item holds; with no items, never true."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """The item does not hold; a `None` value makes every comparison false, hence its negation true."""

    item: Condition


@dataclass(frozen=True, slots=True)
class NumberRange(Condition):
    """A numeric `Range` value within bounds; `None` leaves a side open, `*_open` excludes the bound itself."""

    field: FieldSpec
    low: Score | None
    high: Score | None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True, slots=True)
class TextRange(Condition):
    """A `Range[str]` value within bounds (raw UTF-8, code-point order); `None` leaves a side open."""

    field: FieldSpec
    low: bytes | None
    high: bytes | None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True, slots=True)
class TextPrefix(Condition):
    """A `Range[str]` value that starts with `prefix` (raw UTF-8)."""

    field: FieldSpec
    prefix: bytes


@dataclass(frozen=True, slots=True)
class LexRange(Condition):
    """What text conditions become in a plan: entries of the text index from `low` up to, and without, `high`.

    Never written by users; `None` leaves a side open.
    """

    field: FieldSpec
    low: bytes | None
    high: bytes | None


@dataclass(frozen=True, slots=True)
class NumberIn(Condition):
    """What `in_` of several numbers becomes in a plan: a numeric value is one of these, in ascending order."""

    field: FieldSpec
    values: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class TextIn(Condition):
    """What `in_` of several texts becomes in a plan: the value is one of these, escaped, in ascending order."""

    field: FieldSpec
    texts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class HasToken(Condition):
    """A `Tag` holds any of these tokens, or a `Unique` equals any of them."""

    field: FieldSpec
    tokens: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class IsNone(Condition):
    """The value is `None`. For a collection field this means the collection itself is `None`, not that it is empty."""

    field: FieldSpec


@dataclass(frozen=True, slots=True)
class KeyIn(Condition):
    """The primary key is one of these members (sort form)."""

    field: FieldSpec
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class KeyRange(Condition):
    """The primary key (sort form) is at least `low` and less than `high`; `None` leaves a side open.

    Never written by users: what slices of a long list of excluded keys are about.
    """

    field: FieldSpec
    low: bytes | None
    high: bytes | None


@dataclass(frozen=True, slots=True)
class Term:
    """One term of an order: a column's values ascending or descending, `None` last either way."""

    field: FieldSpec
    descending: bool = False
