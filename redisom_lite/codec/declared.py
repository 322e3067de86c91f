"""From a declared type to its codec, by the way the field is indexed.

The annotation is what is left of a declaration once the marker (`Range[...]`), `None`, and the like are taken
away; `Annotated`, `NewType` and `type` aliases around it, or around the members of a collection, are looked
through. Every function but `stored_codec` returns `None` when the type cannot be indexed that way.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, Union, get_args, get_origin
from uuid import UUID

from pydantic import (
    AwareDatetime,
    FutureDate,
    FutureDatetime,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    SecretBytes,
    SecretStr,
)
from pydantic_core import to_json
from typing_extensions import TypeAliasType

from redisom_lite.codec import scalars
from redisom_lite.codec.base import Codec
from redisom_lite.codec.choices import ChoiceCodec
from redisom_lite.codec.structure import JsonCodec

_NUMBERS: Final[Mapping[Any, Codec]] = {
    int: scalars.INT,
    float: scalars.FLOAT,
    Decimal: scalars.DECIMAL,
    bool: scalars.BOOL,
    datetime: scalars.DATETIME,
    AwareDatetime: scalars.DATETIME,
    NaiveDatetime: scalars.DATETIME,
    PastDatetime: scalars.DATETIME,
    FutureDatetime: scalars.DATETIME,
    date: scalars.DATE,
    PastDate: scalars.DATE,
    FutureDate: scalars.DATE,
    time: scalars.TIME,
    timedelta: scalars.TIMEDELTA,
}
_TEXTS: Final[Mapping[Any, Codec]] = {str: scalars.STR}
_KEYS: Final[Mapping[Any, Codec]] = {**_TEXTS, int: scalars.INT, UUID: scalars.UUID_}
_TAGS: Final[Mapping[Any, Codec]] = {**_KEYS, bool: scalars.BOOL}
_SCALARS: Final[Mapping[Any, Codec]] = {
    **_NUMBERS,
    **_TAGS,
    bytes: scalars.BYTES,
    SecretStr: scalars.SECRET_STR,
    SecretBytes: scalars.SECRET_BYTES,
}
_COLLECTIONS: Final = (set, frozenset, list, tuple)


def stored_codec(annotation: Any) -> Codec:
    """The codec of an unindexed field of any type: a single value as plain text, everything else as JSON.

    TypeError when pydantic has no schema for the type, or no way to read back what it writes.
    """
    plain = _plain(annotation)
    return _find(_SCALARS, plain) or _choice_codec(plain) or JsonCodec(_name(plain), annotation)


def number_codec(annotation: Any) -> Codec | None:
    """The codec of a numeric `Range`, with `score`: int, float, Decimal, bool, the types of time, IntEnum."""
    plain = _plain(annotation)
    return _choice_codec(plain) if _is_class(plain, IntEnum) else _find(_NUMBERS, plain)


def text_codec(annotation: Any) -> Codec | None:
    """The codec of a text `Range`, with `lex` (and `token` and `member`): str, EmailStr."""
    return _find(_TEXTS, _plain(annotation))


def tag_codec(annotation: Any) -> Codec | None:
    """The codec of a single-valued `Tag` or a `Unique`, with `token`: str, int, bool, UUID, Enum, Literal."""
    plain = _plain(annotation)
    return _find(_TAGS, plain) or _choice_codec(plain)


def key_codec(annotation: Any) -> Codec | None:
    """The codec of a `Key`, with `member` and `of_member`: str, int, UUID."""
    return _find(_KEYS, _plain(annotation))


def collection_codecs(annotation: Any) -> tuple[Codec, Codec] | None:
    """The codecs of a multi-valued `Tag`: of the collection, which is stored, and of a member, with `token`.

    `set[T]`, `frozenset[T]`, `list[T]` and `tuple[T, ...]`, of a `T` that could be a tag itself.
    """
    plain = _plain(annotation)
    member = _member(plain)
    codec = None if member is None else tag_codec(member)
    return None if codec is None else (JsonCodec(_name(plain), plain), codec)


def shared_token(annotation: Any) -> str | None:
    """Two values of a tag's type (or its members') that would have one token, `"1 and '1'"`; else `None`.

    Such a type cannot be indexed as a tag: a query for one value would find the other.
    """
    plain = _plain(annotation)
    member = _member(plain)
    codec = _choice_codec(_plain(plain if member is None else member))
    return None if codec is None else codec.shared


def _find(table: Mapping[Any, Codec], plain: Any) -> Codec | None:
    # imported, its module loads much that only e-mail addresses need
    networks = sys.modules.get("pydantic.networks")
    if networks is not None and plain is networks.EmailStr:
        plain = str
    try:
        return table.get(plain)
    except TypeError:  # an annotation that cannot be hashed
        return None


def _plain(annotation: Any) -> Any:
    """The annotation without `Annotated`, `NewType` and `type` aliases around it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        else:
            return annotation


def _member(plain: Any) -> Any:
    """The declared type of the members of a collection that may be a tag, else `None`."""
    arguments = get_args(plain)
    if get_origin(plain) not in _COLLECTIONS:
        return None
    if get_origin(plain) is tuple:
        return arguments[0] if len(arguments) == 2 and arguments[1] is Ellipsis else None
    return arguments[0]


def _choice_codec(plain: Any) -> ChoiceCodec | None:
    if _is_class(plain, Enum) and not issubclass(plain, Flag):
        return ChoiceCodec(plain.__name__, list(plain), _plain_text)
    if get_origin(plain) is Literal:
        return ChoiceCodec(
            _name(plain), [value for value in get_args(plain) if value is not None], _plain_text
        )
    return None


def _plain_text(choice: Any) -> bytes:
    """How a choice is written by the codec of its own type."""
    value = choice.value if isinstance(choice, Enum) else choice
    codec = _SCALARS.get(type(value))
    return to_json(value) if codec is None else codec.encode(value)


def _is_class(annotation: Any, base: type) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, base)


def _name(annotation: Any) -> str:
    """The type as messages show it, without modules: `dict[str, Color | None]`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name(arguments[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin in (Union, UnionType):
        return " | ".join(map(_name, arguments))
    if annotation is NoneType or annotation is Ellipsis:
        return "None" if annotation is NoneType else "..."
    name = getattr(origin or annotation, "__name__", str(annotation))
    return f"{name}[{', '.join(map(_name, arguments))}]" if arguments else name
