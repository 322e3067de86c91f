"""A number as a sorted set holds it, and what tells apart the numbers that one double stands for.

Redis scores are doubles. A value is *exact* when its double gives it back: an integer when `int(double)` is
that integer, a Decimal when it equals the shortest repr of the double (19.99 does). Distinct exact values
have distinct scores in the same order, so only the others need the *decimal sort form*, which Lua compares:

    0                          zero
    <sign><exponent>:<digits>  sign 0.digits * 10^exponent; sign `+` or `-`; digits begin and end in 1-9

    125 -> +3:125     -0.05 -> --1:5     1E+400 -> +401:1     infinity -> +9999999999999999999:9

The order is that of the signs; then, mirrored below zero, of the exponents as integers (they may exceed
2**53: compare the longer text as the greater), then of the digits as text, a prefix being the lesser. The
exponent of infinity is one that no Decimal reaches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Context, Decimal
from math import inf, isinf
from typing import TypeAlias

Number: TypeAlias = int | float | Decimal

_SAFE = 2.0**53
_INFINITY = b"9999999999999999999:9"
_BESIDE = Context(prec=20)  # the repr of a double has at most 17 digits


@dataclass(frozen=True, slots=True)
class Score:
    """What a number is to Redis.

    `text` is what ZADD and the bounds of a range get: the shortest repr of the double, without `.0` below
    2**53, and never `-0`. `number` is that double. `exact` is `None` when the double gives the value back,
    else the value in decimal sort form. Ascending `(number, decimal)` is the order of the values themselves.
    """

    text: bytes
    number: float
    exact: bytes | None = None
    value: Number = field(default=0, repr=False, compare=False)

    @property
    def decimal(self) -> bytes:
        """The value in decimal sort form, exact or not: it decides where scores tie."""
        if self.exact is not None:
            return self.exact
        if self.text.isdigit() and self.number:  # as most are: the digits are there
            return b"+%d:%b" % (len(self.text), self.text.rstrip(b"0"))
        return sort_form(self.value)


def score_of(value: Number) -> Score:
    """The score of a number; ValueError for NaN, which has no place in any order.

    A float is taken for the decimal number its repr shows.
    """
    if type(value) is int and -_SAFE < value < _SAFE:  # as most are
        return Score(b"%d" % value, float(value), None, value)
    if is_nan(value):
        raise ValueError("NaN has no order: it cannot be indexed or compared")
    number = _double(value)
    exact = None if _gives_back(number, value) else sort_form(value)
    return Score(_text(number), number, exact, value)


def float_bound(value: int) -> Score:
    """The score of an integer that bounds floats: these are told apart by repr, and compared by what they
    are.

    `10**23` is greater than the double nearest to it, whose repr is `1e+23`. Such a bound becomes that repr
    and a little more (or less), where no other double's repr lies.
    """
    number = _double(value)
    if isinf(number):
        return score_of(value)
    if int(number) == value:
        return score_of(number)
    shown = Decimal(repr(number))
    beside = shown.next_plus(_BESIDE) if value > int(number) else shown.next_minus(_BESIDE)
    return Score(_text(number), number, sort_form(beside), beside)


def is_nan(value: Number) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else value != value


def sort_form(value: Number) -> bytes:
    """The decimal sort form (see the module) of a number that is not NaN."""
    if isinstance(value, float):
        value = Decimal(repr(value))
    sign, digits, exponent = _parts(value)
    if not digits:
        return b"0"
    if exponent is None:
        return sign + _INFINITY
    return b"%b%d:%b" % (sign, len(digits) + exponent, digits.rstrip("0").encode())


def _parts(value: int | Decimal) -> tuple[bytes, str, int | None]:
    """Sign, digits without leading zeros (none for zero), and their power of ten; None for infinity."""
    sign = b"-" if value < 0 else b"+"
    if isinstance(value, int):
        return sign, str(abs(int(value))).lstrip("0"), 0
    if value.is_infinite():
        return sign, "9", None
    _, digits, exponent = value.as_tuple()
    return sign, "".join(map(str, digits)).lstrip("0"), int(exponent)


def _double(value: Number) -> float:
    try:
        return float(value) + 0.0  # -0.0 becomes 0.0
    except OverflowError:
        return inf if value > 0 else -inf


def _gives_back(number: float, value: Number) -> bool:
    if isinstance(value, float):
        return True
    if isinf(number):
        return isinstance(value, Decimal) and value.is_infinite()
    return Decimal(repr(number)) == value if isinstance(value, Decimal) else int(number) == value


def _text(number: float) -> bytes:
    if abs(number) < _SAFE and number.is_integer():
        return b"%d" % number
    return repr(number).encode()
