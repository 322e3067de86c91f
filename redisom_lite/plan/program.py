"""Conditions as instructions: the postfix programs and index reads that match.lua interprets.

Keys appear as what follows the model's base; the script prepends it, so one program serves every partition. A program
is a list of words that begins with the number of its instructions.
"""

from __future__ import annotations

from decimal import Decimal
from math import isinf
from typing import Final

from redisom_lite.codec import NONE_TOKEN, Score
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
from redisom_lite.schema.model_schema import DEADLINE, Kind

Instruction = tuple[bytes, ...]
Program = list[bytes]

EVERYTHING: Final[Instruction] = (b"A",)
NOTHING: Final[Instruction] = (b"O",)

_INFINITE: Final = b"9999999999999999999:9"


def program(condition: Condition) -> Program:
    """The program of a normalized condition."""
    instructions = compiled(condition)
    return [b"%d" % len(instructions), *(word for instruction in instructions for word in instruction)]


def compiled(condition: Condition) -> list[Instruction]:
    """The instructions of a normalized condition."""
    match condition:
        case And(()):
            return [EVERYTHING]
        case Or(()):
            return [NOTHING]
        case And(items):
            return [*_each(items), (b"&", b"%d" % len(items))]
        case Or(items):
            return [*_each(items), (b"|", b"%d" % len(items))]
        case Not(item):
            return [*compiled(item), (b"!",)]
        case IsNone(field) if field.name == DEADLINE:
            return [leaf(NumberRange(field, None, None)), (b"!",)]
        case _:
            return [leaf(condition)]


def _each(items: tuple[Condition, ...]) -> list[Instruction]:
    return [instruction for item in items for instruction in compiled(item)]


def leaf(condition: Condition) -> Instruction:
    """The instruction of one leaf; as a path it reads the leaf's index, as a filter it tests candidates."""
    match condition:
        case NumberRange(field):
            return (b"Z", field.name.encode(), *bounds(condition))
        case LexRange(field, low, high):
            return (b"L", field.name.encode(), *_edges(low, high))
        case KeyRange(_, low, high):
            return (b"R", *_edges(low, high))
        case NumberIn(field, values):
            return (b"N", field.name.encode(), b"%d" % len(values), *map(_listed, values))
        case TextIn(field, texts):
            return (b"M", field.name.encode(), b"%d" % len(texts), *texts)
        case HasToken(field, tokens):
            op = b"U" if field.kind is Kind.UNIQUE else b"S"
            return (op, b"%d" % len(tokens), *tokens, field.name.encode())
        case IsNone(field):
            return (b"S", b"1", NONE_TOKEN, field.name.encode())
        case KeyIn(_, members):
            return (b"K", b"%d" % len(members), *members)
        case _:
            raise AssertionError(f"{type(condition).__name__} is no leaf of a normalized condition")


def _edges(low: bytes | None, high: bytes | None) -> Instruction:
    return (b"-" if low is None else b"[" + low, b"+" if high is None else b"(" + high)


def _listed(value: Score) -> bytes:
    return value.text if value.exact is None else b"%b=%b" % (value.text, value.exact)


def composite(tag: str, token: bytes, condition: NumberRange) -> Instruction:
    """The read of one tag token's sorted set, within the bounds of `condition`."""
    name = condition.field.name.encode()
    key = b":c:%b:%b:%b" % (tag.encode(), name, token)
    return (b"C", name, key, *bounds(condition))


def bounds(condition: NumberRange) -> Instruction:
    """low high low_open high_open low_decimal high_decimal low_lean high_lean"""
    low, high = condition.low, condition.high
    return (
        b"-inf" if low is None else low.text,
        b"inf" if high is None else high.text,
        b"1" if condition.low_open else b"0",
        b"1" if condition.high_open else b"0",
        b"-" + _INFINITE if low is None else low.decimal,
        b"+" + _INFINITE if high is None else high.decimal,
        b"0" if low is None else _lean(low),
        b"0" if high is None else _lean(high),
    )


def _lean(score: Score) -> bytes:
    """The sign of (value - what its double stands for)."""
    if score.exact is None:
        return b"0"
    if isinf(score.number):
        return b"-1" if score.number > 0 else b"1"
    nearest = Decimal(repr(score.number)) if isinstance(score.value, Decimal) else int(score.number)
    return b"1" if score.value > nearest else b"-1"
