"""The shape of a selection: what it has in common with all that differ from it only in their operands.

Planning looks at operands only to compare those of one column with each other: where ranges are merged, values
gathered, contradictions found. So selections of one tree of conditions and one order, whose operands stand in the same
order within each column, are planned alike, and one can be planned for all: with *marks* in place of operands, of
which the words of the plan then show where each operand goes (`marks.py`).

Some have no shape: with an operand that its double does not give back (its words depend on what it is), with the
deadline of records, with `startswith` beside another condition on its column (whether one text begins with another is
no matter of order), and with so many operands that few others would be planned alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from redisom_lite.codec import Score
from redisom_lite.plan.expression import (
    And,
    Condition,
    HasToken,
    IsNone,
    KeyIn,
    Not,
    NumberRange,
    Or,
    Term,
    TextPrefix,
    TextRange,
)
from redisom_lite.schema.model_schema import DEADLINE, FieldSpec, Kind, ModelSchema

Operand: TypeAlias = Score | bytes
"""A number's score, or a text, token or member."""

Outline: TypeAlias = tuple[Any, ...]
"""A condition without operands: its type; then those of its items, or its column, how many operands, what else."""

_MOST: Final = 16


class Shape(NamedTuple):
    """`ranks` are the operands' places within their columns; empty where each column has but one."""

    schema: ModelSchema
    outlines: tuple[Outline, ...]
    ranks: tuple[int, ...]
    order: tuple[Term, ...]


class _ShapelessError(Exception):
    """A plan for these operands would serve no others."""


def shape_of(
    schema: ModelSchema, where: Sequence[Condition], order: tuple[Term, ...]
) -> tuple[Shape, list[Operand]] | None:
    """The shape of these conditions in this order, and the operands; None where there is none."""
    leaves: list[Outline] = []
    operands: list[Operand] = []
    try:
        outlines = tuple([_outline(condition, leaves, operands) for condition in where])
        ranks = _ranks(leaves, operands)
    except _ShapelessError:
        return None
    return Shape(schema, outlines, ranks, order), operands


def _outline(condition: Condition, leaves: list[Outline], operands: list[Operand]) -> Outline:
    """A condition without its operands, which are added to `operands`, and to `leaves` what has any."""
    leaf: Outline
    match condition:
        case HasToken():
            operands += condition.tokens
            leaf = (HasToken, condition.field, len(condition.tokens))
        case NumberRange() | TextRange():
            bounds = _bounds(condition)
            operands += bounds
            sides = (condition.low is not None, condition.low_open, condition.high_open)
            leaf = (type(condition), condition.field, len(bounds), *sides)
        case And() | Or():
            return (type(condition), tuple([_outline(item, leaves, operands) for item in condition.items]))
        case Not():
            return (Not, _outline(condition.item, leaves, operands))
        case IsNone() if condition.field.name != DEADLINE:
            return (IsNone, condition.field)
        case KeyIn():
            operands += condition.members
            leaf = (KeyIn, condition.field, len(condition.members))
        case TextPrefix():
            operands.append(condition.prefix)
            leaf = (TextPrefix, condition.field, 1)
        case _:
            raise _ShapelessError
    if leaf[2]:
        leaves.append(leaf)
    return leaf


def _bounds(condition: NumberRange | TextRange) -> list[Operand]:
    if condition.field.name == DEADLINE:
        raise _ShapelessError
    bounds: list[Operand] = [bound for bound in (condition.low, condition.high) if bound is not None]
    for bound in bounds:
        if isinstance(bound, Score) and bound.exact is not None:
            raise _ShapelessError
    return bounds


def _ranks(leaves: Sequence[Outline], operands: Sequence[Operand]) -> tuple[int, ...]:
    """The place of each operand among those of its column, equal ones in one place."""
    if len(operands) > _MOST:
        raise _ShapelessError
    if len({leaf[1] for leaf in leaves}) == len(leaves) == len(operands):
        return ()  # every column has but one
    columns: list[FieldSpec] = [leaf[1] for leaf in leaves for _ in range(leaf[2])]
    if any(leaf[0] is TextPrefix and columns.count(leaf[1]) > 1 for leaf in leaves):
        raise _ShapelessError
    places: dict[FieldSpec, dict[float | bytes, int]] = {}
    pairs = [(column, _value(operand)) for column, operand in zip(columns, operands, strict=True)]
    for column, value in pairs:
        places.setdefault(column, {})[value] = 0
    for column, found in places.items():
        # of what is only looked up it matters which are equal; so lists of values in any order are alike
        listed = sorted(found) if column.kind in _ORDERED else found
        places[column] = {value: place for place, value in enumerate(listed)}
    return tuple([places[column][value] for column, value in pairs])


_ORDERED: Final = (Kind.NUMBER, Kind.TEXT)


def _value(operand: Operand) -> float | bytes:
    return operand.number if isinstance(operand, Score) else operand
