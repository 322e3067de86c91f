"""Which types can be indexed in which way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import pytest
from pydantic import EmailStr, Field, PositiveInt
from typing_extensions import TypeAliasType

from redisom_lite.codec import (
    collection_codecs,
    key_codec,
    number_codec,
    shared_token,
    stored_codec,
    tag_codec,
    text_codec,
)


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


UserId = NewType("UserId", int)
Odd = NewType("Odd", Literal[1, "1"])  # type: ignore[valid-newtype]  # a run-time question
Slug = TypeAliasType("Slug", Annotated[str, Field(min_length=1)])

NUMBERS = [int, float, Decimal, bool, datetime, date, time, timedelta, Level]
TEXTS = [str, EmailStr]
KEYS = [str, EmailStr, int, UUID]
TAGS = [str, EmailStr, int, bool, UUID, Color, Level, Literal["a", 1]]
COLLECTIONS = [set[str], frozenset[int], list[Color], tuple[UUID, ...], set[Literal["a"]]]
NEITHER = [
    bytes,
    complex,
    list[float],
    set[bytes],
    tuple[int, str],
    tuple[int],
    set,
    list,
    Sequence[str],
    dict[str, str],
    int | str,
    str | None,
    set[str | None],
    set[set[str]],
    Any,
    None,
    object,
    Annotated[dict[str, int], Field()],
    Literal,
]
EVERYTHING = list({repr(t): t for t in [*NUMBERS, *TEXTS, *KEYS, *TAGS, *COLLECTIONS, *NEITHER]}.values())


@pytest.mark.parametrize("declared", EVERYTHING, ids=repr)
def test_each_way_to_index_takes_its_own_types(declared: Any) -> None:
    for find, types in (
        (number_codec, NUMBERS),
        (text_codec, TEXTS),
        (key_codec, KEYS),
        (tag_codec, TAGS),
        (collection_codecs, COLLECTIONS),
    ):
        assert (find(declared) is not None) == (declared in types), find.__name__


def test_wrappings_are_looked_through() -> None:
    assert number_codec(UserId) is key_codec(PositiveInt) is stored_codec(int)
    assert text_codec(Slug) is tag_codec(Annotated[Slug, "note"]) is stored_codec(str)
    assert collection_codecs(set[UserId]) is not None
    assert collection_codecs(Annotated[list[Slug], Field(max_length=3)]) is not None
    assert shared_token(Odd) is not None


def test_one_type_has_one_codec_however_indexed() -> None:
    assert number_codec(bool) is tag_codec(bool) is stored_codec(bool)
    assert text_codec(str) is key_codec(str) is tag_codec(str) is stored_codec(str)


def test_an_annotation_that_cannot_be_hashed_is_stored_and_not_indexed() -> None:
    declared = Annotated[list[int], ["unhashable"]]
    assert stored_codec(declared).encode([1]) == b"[1]"
    assert tag_codec(declared) is None
