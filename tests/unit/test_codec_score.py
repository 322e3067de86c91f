"""Scores: the double, its text, and the exact form together order every number as Python does."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal, localcontext
from enum import IntEnum
from fractions import Fraction
from functools import cmp_to_key
from math import inf, nan
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis.strategies import (
    builds,
    datetimes,
    decimals,
    floats,
    integers,
    just,
    sampled_from,
    timedeltas,
    times,
    timezones,
)

from redisom_lite.codec import Codec, Score, number_codec


def codec(declared: Any) -> Codec:
    found = number_codec(declared)
    assert found is not None
    return found


def compare_forms(one: bytes, other: bytes) -> int:
    """Compare decimal sort forms by the rule of their docstring, with nothing but text and small integers."""
    if one == other:
        return 0
    sign, other_sign = (0 if form == b"0" else 1 if form[:1] == b"+" else -1 for form in (one, other))
    if sign != other_sign:
        return -1 if sign < other_sign else 1
    (exponent, digits), (other_exponent, other_digits) = (form[1:].split(b":") for form in (one, other))
    greater = (int(exponent), digits) > (int(other_exponent), other_digits)
    return sign if greater else -sign


@cmp_to_key
def by_score(one: Score, other: Score) -> int:
    if one.number != other.number:
        return -1 if one.number < other.number else 1
    return compare_forms(one.decimal, other.decimal)


signs = sampled_from([1, -1])
near_powers = builds(
    lambda power, step, sign: sign * (2**power + step), integers(0, 1100), integers(-3, 3), signs
)
ints = integers() | near_powers | integers(-(10**410), 10**410)
wide_decimals = (
    builds(
        lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
        integers(0, 1),
        integers(0, 10**40).map(lambda n: tuple(map(int, str(n)))),
        integers(-420, 420) | integers(-330, -290) | integers(-20, 20),
    )
    | decimals(allow_nan=False, allow_infinity=True)
    | floats(allow_nan=False).map(Decimal)
    | floats(allow_nan=False).map(lambda number: Decimal(repr(number)))
    | ints.map(Decimal)
    | just(Decimal("1E+999999999999999999"))
)
offsets = integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
moments = datetimes(timezones=just(UTC) | offsets) | datetimes() | datetimes(timezones=timezones())


def naive_as_utc(moment: datetime) -> Fraction:
    offset = moment.utcoffset() or timedelta()
    since = moment.replace(tzinfo=None) - datetime(1970, 1, 1) - offset
    return Fraction(since.days * 86_400 + since.seconds) + Fraction(since.microseconds, 10**6)


def assert_order_is_kept(declared: Any, one: Any, other: Any) -> None:
    a, b = codec(declared).score(one), codec(declared).score(other)
    assert (by_score(a) < by_score(b)) == (one < other)
    assert (by_score(a) == by_score(b)) == (one == other)
    if a.exact is None and b.exact is None:
        assert (a.number < b.number) == (one < other)


@given(ints, ints)
@example(2**53, 2**53 + 1)
@example(10**400, 10**400 + 1)
@example(-(10**400), -(10**401))
def test_score_of_ints_keeps_order(one: int, other: int) -> None:
    assert_order_is_kept(int, one, other)


@given(ints, integers(-2, 2))
def test_score_of_neighbouring_ints_keeps_order(one: int, step: int) -> None:
    assert_order_is_kept(int, one, one + step)


@given(wide_decimals, wide_decimals)
@example(Decimal("1E+400"), Decimal("Infinity"))
@example(Decimal("-1E+999999999999999999"), Decimal("-Infinity"))
@example(Decimal("1E-400"), Decimal(0))
@example(Decimal("-1E-400"), Decimal("1E-400"))
@example(Decimal("5E-324"), Decimal("4.9E-324"))
@example(Decimal("0.1"), Decimal("0.1000000000000000055511151231257827021181583404541015625"))
@example(Decimal("1.0"), Decimal("1.00"))
@example(Decimal("-0"), Decimal(0))
def test_score_of_decimals_keeps_order(one: Decimal, other: Decimal) -> None:
    assert_order_is_kept(Decimal, one, other)


@given(wide_decimals, integers(30, 350), signs)
def test_score_of_decimals_apart_in_a_late_digit_keeps_order(one: Decimal, place: int, sign: int) -> None:
    if one.is_finite() and one.adjusted() < 1000:
        with localcontext(prec=2500):
            other = one + Decimal((int(sign < 0), (1,), -place))
        assert one != other
        assert_order_is_kept(Decimal, one, other)


@given(floats(allow_nan=False), floats(allow_nan=False))
def test_score_of_floats_is_exact_and_keeps_order(one: float, other: float) -> None:
    assert codec(float).score(one).exact is None
    assert_order_is_kept(float, one, other)


def assert_bound_is_kept(value: float, bound: int) -> None:
    stored, asked = codec(float).score(value), codec(float).score(bound)
    assert (by_score(stored) < by_score(asked)) == (value < bound)
    assert (by_score(stored) == by_score(asked)) == (value == bound)


@given(floats(allow_nan=False), ints)
@example(1e23, 10**23)
@example(2.0**53, 2**53 + 1)
@example(float(2**53), 2**53)
@example(inf, 10**400)
def test_score_of_an_int_bounds_floats_as_python_compares_them(value: float, bound: int) -> None:
    assert_bound_is_kept(value, bound)


@given(floats(allow_nan=False, allow_infinity=False), integers(-2, 2))
def test_score_of_an_int_beside_a_float_bounds_it(value: float, step: int) -> None:
    assert_bound_is_kept(value, int(value) + step)


@given(moments, moments)
@example(datetime(2300, 1, 1, 0, 0, 0, 1), datetime(2300, 1, 1, 0, 0, 0, 2))
@example(datetime.max, datetime.max - timedelta(microseconds=1))
@example(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23))), datetime.min)
def test_score_of_datetimes_keeps_order(one: datetime, other: datetime) -> None:
    a, b = codec(datetime).score(one), codec(datetime).score(other)
    assert (by_score(a) < by_score(b)) == (naive_as_utc(one) < naive_as_utc(other))


@given(datetimes(timezones=just(UTC), min_value=datetime(1700, 1, 1), max_value=datetime(2255, 1, 1)))
def test_score_of_a_datetime_is_its_exact_microseconds(moment: datetime) -> None:
    score = codec(datetime).score(moment)
    assert score.exact is None
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(score.text)) == moment


@given(timedeltas(), timedeltas())
@example(timedelta.max, timedelta.max - timedelta(microseconds=1))
@example(timedelta.min, timedelta.min + timedelta(microseconds=1))
def test_score_of_timedeltas_keeps_order(one: timedelta, other: timedelta) -> None:
    assert_order_is_kept(timedelta, one, other)


@given(times(timezones=offsets), times(timezones=offsets))
def test_score_of_aware_times_keeps_order(one: time, other: time) -> None:
    assert_order_is_kept(time, one, other)


@given(times(), times())
def test_score_of_times_keeps_order(one: time, other: time) -> None:
    assert_order_is_kept(time, one, other)


class Level(IntEnum):
    LOW = -1
    HIGH = 7


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        (int, 5, b"5"),
        (int, -0, b"0"),
        (int, 2**53 - 1, b"9007199254740991"),
        (int, 2**53, b"9007199254740992.0"),
        (int, 10**23, b"1e+23"),
        (int, 10**400, b"inf"),
        (int, -(10**400), b"-inf"),
        (float, -0.0, b"0"),
        (float, 3.0, b"3"),
        (float, 0.1, b"0.1"),
        (float, -inf, b"-inf"),
        (float, 5e-324, b"5e-324"),
        (Decimal, Decimal("19.99"), b"19.99"),
        (Decimal, Decimal("-0.00"), b"0"),
        (Decimal, Decimal("1E-400"), b"0"),
        (Decimal, Decimal("-Infinity"), b"-inf"),
        (Decimal, 7, b"7"),
        (bool, True, b"1"),
        (Level, Level.LOW, b"-1"),
        (date, date(1, 1, 1), b"1"),
        (time, time(0, 0, 1), b"1000000"),
        (time, time(0, 0, 1, tzinfo=timezone(timedelta(minutes=1))), b"-59000000"),
        (timedelta, timedelta(days=-1), b"-86400000000"),
        (datetime, datetime(1970, 1, 1, 0, 0, 1), b"1000000"),
        (datetime, datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), b"0"),
    ],
)
def test_score_text_is_the_shortest_repr(declared: Any, value: Any, text: bytes) -> None:
    score = codec(declared).score(value)
    assert score.text == text
    assert float(score.text) == score.number


@given(ints | wide_decimals | floats(allow_nan=False))
def test_score_text_is_the_number_and_never_minus_zero(value: Any) -> None:
    score = codec(type(value)).score(value)
    assert float(score.text) == score.number
    assert not score.text.startswith(b"-0") or score.number != 0
    assert re.fullmatch(rb"0|[+-](0|-?[1-9]\d*):[1-9](\d*[1-9])?", score.decimal)


@pytest.mark.parametrize(
    ("declared", "value", "exact"),
    [
        (int, 2**53, None),
        (int, 2**53 + 1, b"+16:9007199254740993"),
        (int, 10**400, b"+401:1"),
        (int, -(10**23), b"-24:1"),
        (float, 1e23, None),
        (float, inf, None),
        (Decimal, Decimal("19.99"), None),
        (Decimal, Decimal("19.9900"), None),
        (Decimal, Decimal(10**23), None),
        (Decimal, Decimal("1E-400"), b"+-399:1"),
        (Decimal, Decimal("-1E+400"), b"-401:1"),
        (Decimal, Decimal("0.10000000000000000001"), b"+0:10000000000000000001"),
        (Decimal, Decimal("Infinity"), None),
        (datetime, datetime(2255, 1, 1), None),
        (datetime, datetime(9999, 12, 31, 23, 59, 59, 999_999), b"+18:253402300799999999"),
    ],
)
def test_exact_is_there_only_when_the_double_loses_something(
    declared: Any, value: Any, exact: bytes | None
) -> None:
    assert codec(declared).score(value).exact == exact


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (Decimal(125), b"+3:125"),
        (Decimal("-0.05"), b"--1:5"),
        (Decimal("1E+400"), b"+401:1"),
        (Decimal("0.00"), b"0"),
        (Decimal("0.5"), b"+0:5"),
        (Decimal(1200), b"+4:12"),
        (Decimal("Infinity"), b"+9999999999999999999:9"),
        (Decimal("-Infinity"), b"-9999999999999999999:9"),
    ],
)
def test_decimal_is_there_for_exact_values_too(value: Decimal, form: bytes) -> None:
    assert codec(Decimal).score(value).decimal == form


@pytest.mark.parametrize("value", [nan, -nan, Decimal("NaN"), Decimal("sNaN"), Decimal("-NaN9")])
def test_score_of_nan_is_refused(value: Any) -> None:
    for ask in (codec(type(value)).score, codec(type(value)).operand):
        with pytest.raises(ValueError, match="NaN has no order"):
            ask(value)
