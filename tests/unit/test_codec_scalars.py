"""Single values: stored readably, and back as they were."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from math import isnan, nan
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis.strategies import (
    SearchStrategy,
    binary,
    booleans,
    characters,
    dates,
    datetimes,
    decimals,
    floats,
    integers,
    just,
    one_of,
    text,
    timedeltas,
    times,
    timezones,
    tuples,
    uuids,
)
from pydantic import AwareDatetime, EmailStr, NaiveDatetime, PastDate, SecretBytes, SecretStr
from pydantic_core import SchemaValidator

from redisom_lite.codec import Codec, key_codec, number_codec, stored_codec, tag_codec, text_codec

MINUTE = timedelta(minutes=1)

any_text = text(alphabet=characters(exclude_categories=["Cs"]))
offsets = integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
mean_times = integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))


def values(declared: type, strategy: SearchStrategy[Any]) -> SearchStrategy[tuple[type, Any]]:
    return tuples(just(declared), strategy)


scalars = one_of(
    values(str, any_text),
    values(bytes, binary()),
    values(bool, booleans()),
    values(int, integers() | integers(-(10**4299), 10**4299)),
    values(float, floats(allow_nan=False)),
    values(Decimal, decimals(allow_nan=False) | integers().map(lambda n: Decimal(n).scaleb(-n % 700))),
    values(datetime, datetimes() | datetimes(timezones=offsets | just(UTC))),
    values(date, dates()),
    values(time, times() | times(timezones=offsets)),
    values(timedelta, timedeltas()),
    values(UUID, uuids()),
    values(SecretStr, any_text.map(SecretStr)),
    values(SecretBytes, binary().map(SecretBytes)),
)


@given(scalars)
@example((timedelta, timedelta.min))
@example((timedelta, timedelta.max))
@example((timedelta, timedelta(microseconds=-1)))
@example((datetime, datetime.min))
@example((datetime, datetime.max))
@example((Decimal, Decimal("1.500")))
@example((Decimal, Decimal("1E+999999999999999999")))
@example((Decimal, Decimal("-0.00")))
@example((Decimal, Decimal("7" * 5000)))
@example((str, ""))
@example((str, "\0\U0010ffff\n"))
def test_encode_any_value_comes_back_equal_and_of_its_type(scalar: tuple[type, Any]) -> None:
    declared, value = scalar
    codec = stored_codec(declared)
    text = codec.encode(value)
    back = codec.decode(text)
    assert back == value
    assert type(back) is type(value)
    assert str(back) == str(value)
    assert codec.encode(back) == text
    assert SchemaValidator(codec.core).validate_python(text) == value


@given(datetimes(timezones=mean_times, min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)))
@example(datetime(1880, 1, 1, tzinfo=ZoneInfo("Asia/Kolkata")))
def test_encode_a_datetime_of_any_offset_keeps_the_instant(moment: datetime) -> None:
    codec = stored_codec(datetime)
    back = codec.decode(codec.encode(moment))
    offset = moment.utcoffset()
    assert back == moment
    assert offset is not None
    assert back.utcoffset() == (timedelta() if offset % MINUTE else offset)


@given(datetimes(timezones=timezones()))
def test_encode_a_datetime_of_any_zone_keeps_wall_time_and_offset(moment: datetime) -> None:
    codec = stored_codec(datetime)
    offset = moment.utcoffset()
    if offset is not None and not offset % MINUTE:
        back = codec.decode(codec.encode(moment))
        assert back.replace(tzinfo=None) == moment.replace(tzinfo=None, fold=0)
        assert back.utcoffset() == offset


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        (str, "é", "é".encode()),
        (int, -7, b"-7"),
        (bool, True, b"1"),
        (bool, False, b"0"),
        (float, 1.0, b"1.0"),
        (float, 3, b"3.0"),
        (float, float("-inf"), b"-inf"),
        (Decimal, Decimal("1.50"), b"1.50"),
        (Decimal, 2, b"2"),
        (datetime, datetime(2024, 2, 29, 1, 2, 3, 4), b"2024-02-29T01:02:03.000004"),
        (datetime, datetime(2024, 2, 29, tzinfo=UTC), b"2024-02-29T00:00:00+00:00"),
        (
            datetime,
            datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(seconds=61))),
            b"2024-01-01T00:58:59+00:00",
        ),
        (date, date(2024, 2, 29), b"2024-02-29"),
        (time, time(1, 2, 3), b"01:02:03"),
        (timedelta, timedelta(days=1, seconds=2), b"P1DT2S"),
        (timedelta, timedelta(milliseconds=-500), b"-P0DT0.500000S"),
        (UUID, UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
        (bytes, b"\xff", b"\xff"),
        (SecretStr, SecretStr("hush"), b"hush"),
        (SecretBytes, SecretBytes(b"\xff"), b"\xff"),
        (EmailStr, "a@b.c", b"a@b.c"),
    ],
)
def test_encode_writes_readable_text(declared: Any, value: Any, text: bytes) -> None:
    assert stored_codec(declared).encode(value) == text


def test_encode_nan_is_possible_without_an_index() -> None:
    for declared, value in ((float, nan), (Decimal, Decimal("NaN"))):
        codec = stored_codec(declared)
        assert isnan(codec.decode(codec.encode(value)))
    assert stored_codec(Decimal).decode(b"sNaN").is_snan()


class Plain(StrEnum):
    A = "a"


class One(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        (str, 5, "expected str, got int"),
        (str, b"x", "expected str, got bytes"),
        (int, "5", "expected int, got str"),
        (int, True, "expected int, got bool"),
        (int, 1.0, "expected int, got float"),
        (float, True, "expected float, got bool"),
        (float, Decimal(1), "expected float, got Decimal"),
        (Decimal, 1.5, "expected Decimal, got float"),
        (Decimal, True, "expected Decimal, got bool"),
        (bool, 1, "expected bool, got int"),
        (date, datetime(2024, 1, 1), "expected date, got datetime"),
        (datetime, date(2024, 1, 1), "expected datetime, got date"),
        (time, datetime(2024, 1, 1), "expected time, got datetime"),
        (timedelta, 5, "expected timedelta, got int"),
        (UUID, "00000000-0000-0000-0000-000000000001", "expected UUID, got str"),
    ],
)
def test_operand_of_another_type_is_refused(declared: Any, value: Any, message: str) -> None:
    codec = stored_codec(declared)
    for refuse in (codec.operand, codec.encode):
        with pytest.raises(TypeError, match=f"^{message}$"):
            refuse(value)


@pytest.mark.parametrize(
    ("declared", "value"),
    [(float, 5), (Decimal, 5), (int, One.ONE), (str, Plain.A), (float, 10**400), (datetime, datetime.max)],
)
def test_operand_of_a_fitting_type_passes_unchanged(declared: Any, value: Any) -> None:
    assert stored_codec(declared).operand(value) is value


@pytest.mark.parametrize("value", ["\ud800", "secret\udfff"])
def test_encode_text_with_a_lone_surrogate_is_refused_without_the_text(value: str) -> None:
    codec = stored_codec(str)
    for refuse in (codec.encode, codec.operand, codec.lex, codec.token, codec.member):
        with pytest.raises(ValueError, match="lone surrogate") as caught:
            refuse(value)
        assert caught.value.__cause__ is None
        assert "secret" not in str(caught.value)
        assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        pytest.param(int, 10**4300, "more than 4300 digits", id="long"),
        (float, 10**400, "too large for a float"),
        (datetime, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5, seconds=1))), "years 1 to 9999"),
        (time, time(1, tzinfo=timezone(timedelta(seconds=1))), "whole minutes"),
    ],
)
def test_encode_what_cannot_be_read_back_is_refused(declared: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        stored_codec(declared).encode(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("declared", [int, float, Decimal, bool, datetime, date, time, timedelta, UUID])
def test_decode_what_was_not_stored_as_this_type_is_refused_without_the_text(declared: type) -> None:
    with pytest.raises(ValueError, match=f"not of type {declared.__name__}") as caught:
        stored_codec(declared).decode(b"surely-not")
    assert "surely" not in str(caught.value)


@pytest.mark.parametrize("declared", [AwareDatetime, NaiveDatetime, PastDate])
def test_constrained_times_are_indexed_as_what_they_constrain(declared: Any) -> None:
    assert number_codec(declared) in (number_codec(datetime), number_codec(date))


@given(any_text, any_text)
def test_lex_keeps_code_point_order(one: str, other: str) -> None:
    codec = text_codec(str)
    assert codec is not None
    assert (codec.lex(one) < codec.lex(other)) == (one < other)


def keyed(declared: Any) -> Codec:
    codec = key_codec(declared)
    assert codec is not None
    return codec


KEYS: list[tuple[type, SearchStrategy[Any]]] = [(str, any_text), (int, integers()), (UUID, uuids())]


@pytest.mark.parametrize(("declared", "strategy"), KEYS)
def test_member_keeps_order_and_comes_back(declared: type, strategy: SearchStrategy[Any]) -> None:
    codec = keyed(declared)

    @given(strategy, strategy)
    def check(one: Any, other: Any) -> None:
        member = codec.member(one)
        assert codec.of_member(member) == one
        assert type(codec.of_member(member)) is declared
        assert (member < codec.member(other)) == (one < other)

    check()


def test_member_of_text_is_the_text_and_of_an_int_its_sort_form() -> None:
    assert keyed(str).member("a:{}é") == "a:{}é".encode()
    assert keyed(int).member(42) == b"242"
    with pytest.raises(TypeError, match="expected int, got bool"):
        keyed(int).member(True)


@given(any_text, any_text)
def test_token_is_key_safe_and_unlike_for_unlike_values(one: str, other: str) -> None:
    codec = tag_codec(str)
    assert codec is not None
    token = codec.token(one)
    assert len(token) <= 256
    assert not set(token) & set(b":{}*?[]^\\ \n\0")
    assert token != b"%"
    assert (token == codec.token(other)) == (one == other)


def test_token_of_a_long_value_is_a_digest_that_no_value_has() -> None:
    codec = tag_codec(str)
    assert codec is not None
    assert codec.token("a" * 256) == b"a" * 256
    digest = codec.token("a" * 257)
    assert digest.startswith(b"%~")
    assert len(digest) == 45
    assert digest != codec.token("b" * 257)
    assert codec.token("é" * 43).startswith(b"%~")
    assert codec.token(digest.decode()) == b"%25" + digest[1:]


@pytest.mark.parametrize(
    ("declared", "value", "token"),
    [
        (str, "a b", b"a%20b"),
        (str, "", b""),
        (str, "%", b"%25"),
        (int, -5, b"-5"),
        (bool, True, b"1"),
        (UUID, UUID(int=0), b"00000000-0000-0000-0000-000000000000"),
    ],
)
def test_token_is_the_encoded_text(declared: Any, value: Any, token: bytes) -> None:
    codec = tag_codec(declared)
    assert codec is not None
    assert codec.token(value) == token


def test_a_codec_asked_for_what_its_type_has_not_refuses() -> None:
    codec = stored_codec(bytes)
    for ask in (codec.operand, codec.score, codec.lex, codec.token, codec.member, codec.of_member):
        with pytest.raises(TypeError, match=r"^bytes "):
            ask(b"")


class Enumerated(Enum):
    A = 1


def test_repr_names_the_type() -> None:
    assert repr(stored_codec(Enumerated)) == "<codec of Enumerated>"
