"""Enum and Literal: written by value, told apart by type."""

from __future__ import annotations

from datetime import date
from enum import Enum, Flag, IntEnum, StrEnum, auto
from typing import Any, Literal

import pytest

from redisom_lite.codec import number_codec, shared_token, stored_codec, tag_codec
from redisom_lite.codec.choices import ChoiceCodec


class Color(Enum):
    RED = "red"
    SKY_BLUE = "sky blue"
    CRIMSON = "red"  # noqa: PIE796 - an alias is no value of its own


class Size(StrEnum):
    S = auto()


class Level(IntEnum):
    LOW = -1
    HIGH = 2


class Mixed(Enum):
    NUMBER = 1
    TEXT = "1"
    NOTHING = None


class Odd(Enum):
    TUPLE = (1, 2)
    DATE = date(2024, 1, 1)
    TEXT = "x"


class Opaque(Enum):
    ONE = object()
    TWO = object()  # noqa: PIE796


class Bits(Flag):
    A = 1
    B = 2


@pytest.mark.parametrize(
    ("declared", "texts"),
    [
        (Color, {Color.RED: b"red", Color.SKY_BLUE: b"sky blue"}),
        (Size, {Size.S: b"s"}),
        (Level, {Level.LOW: b"-1", Level.HIGH: b"2"}),
        (Mixed, {Mixed.NUMBER: b"1", Mixed.TEXT: b'"1"', Mixed.NOTHING: b"null"}),
        (Odd, {Odd.TUPLE: b"[1,2]", Odd.DATE: b"2024-01-01", Odd.TEXT: b"x"}),
        (Opaque, {Opaque.ONE: b"ONE", Opaque.TWO: b"TWO"}),
        (Literal["a", 1], {"a": b"a", 1: b"1"}),
        (Literal[Color.RED, "blue"], {Color.RED: b"red", "blue": b"blue"}),
        (Literal[Color.RED, "red"], {Color.RED: b"RED", "red": b"'red'"}),
        (Literal["a", None], {"a": b"a"}),
    ],
)
def test_encode_writes_values_and_they_come_back(declared: Any, texts: dict[Any, bytes]) -> None:
    codec = stored_codec(declared)
    for value, text in texts.items():
        assert codec.encode(value) == text
        assert codec.decode(text) is value


def test_encode_values_that_python_finds_equal_stay_apart() -> None:
    codec = stored_codec(Literal[1, True, "1", b"1"])
    for value in (1, True, "1", b"1"):
        back = codec.decode(codec.encode(value))
        assert back == value
        assert type(back) is type(value)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (Color, "red"),
        (Color, Size.S),
        (Level, 2),
        (Literal[1], True),
        (Literal["a"], "b"),
        (Literal["a"], ["a"]),
        (Literal["a"], None),
    ],
)
def test_operand_that_is_none_of_the_values_is_refused(declared: Any, value: Any) -> None:
    codec = tag_codec(declared)
    assert codec is not None
    with pytest.raises(TypeError, match=r"^expected (Color|Level|Literal\[.*\]), got \w+$"):
        codec.operand(value)


def test_operand_that_is_a_member_passes() -> None:
    codec = tag_codec(Color)
    assert codec is not None
    assert codec.operand(Color.RED) is Color.RED


@pytest.mark.parametrize(
    ("declared", "value", "token"),
    [
        (Color, Color.SKY_BLUE, b"sky%20blue"),
        (Level, Level.LOW, b"-1"),
        (Literal["", True], True, b"1"),
        (Literal["", True], "", b""),
    ],
)
def test_token_is_the_value_percent_encoded(declared: Any, value: Any, token: bytes) -> None:
    codec = tag_codec(declared)
    assert codec is not None
    assert codec.token(value) == token


def test_score_of_an_int_enum_is_its_number() -> None:
    codec = number_codec(Level)
    assert codec is not None
    assert codec.score(Level.HIGH).text == b"2"
    assert codec.score(Level.LOW).exact is None
    with pytest.raises(TypeError, match="expected Level, got int"):
        codec.score(2)


def test_score_of_other_choices_is_refused() -> None:
    with pytest.raises(TypeError, match="no order"):
        stored_codec(Color).score(Color.RED)
    assert number_codec(Color) is None
    assert number_codec(Literal[1, 2]) is None


def test_decode_an_unknown_text_is_refused() -> None:
    with pytest.raises(ValueError, match="not of type Color"):
        stored_codec(Color).decode(b"green")


def test_flags_are_stored_with_their_combinations_and_not_indexed() -> None:
    codec = stored_codec(Bits)
    assert codec.decode(codec.encode(Bits.A | Bits.B)) == Bits.A | Bits.B
    assert tag_codec(Bits) is None
    assert number_codec(Bits) is None


@pytest.mark.parametrize(
    ("declared", "pair"),
    [
        (Literal[1, "1"], "1 and '1'"),
        (Literal[True, "a", 1], "True and 1"),
        (Literal[Color.RED, "red"], "<Color.RED: 'red'> and 'red'"),
        (set[Literal[1, "1"]], "1 and '1'"),
        (tuple[Literal[1, "1"], ...], "1 and '1'"),
        (Mixed, "<Mixed.NUMBER: 1> and <Mixed.TEXT: '1'>"),
        (Color, None),
        (set[Color], None),
        (Literal["a", "b"], None),
        (Opaque, None),
        (str, None),
        (set[str], None),
    ],
)
def test_shared_token_names_two_values_with_one_token(declared: Any, pair: str | None) -> None:
    assert shared_token(declared) == pair


def test_choices_that_cannot_be_told_apart_are_refused() -> None:
    class Other(Enum):
        RED = "red"

    with pytest.raises(TypeError, match="told apart"):
        stored_codec(Literal[Color.RED, Other.RED])


def test_form_outlives_the_name() -> None:
    def plain(value: Any) -> bytes:
        return str(value).encode()

    assert ChoiceCodec("Old", "ab", plain).form == ChoiceCodec("New", "ab", plain).form
