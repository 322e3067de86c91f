"""How a model's values become stored texts and index entries, prepared once for each field.

For every field there is a function from value to text and, for an indexed one, one from value and text to *entries*:
words of apply.lua, and what the record's `_ix` says of them. They answer for the values that are common in their type
by the shortest way and leave all others to the codec, whose answer is the definition: both ways agree.

Rules: a *row* is a list of stored texts by field position, `None` for a value that is None. Values have passed the
model's checker.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, TypeAlias

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from redisom_lite.codec import Codec, scalars
from redisom_lite.keys import escape_text
from redisom_lite.schema.model_schema import FieldSpec, Kind, ModelSchema

Row: TypeAlias = list[bytes | None]
Text: TypeAlias = Callable[[Any], bytes]

_SAFE: Final = 2**53  # up to here a double gives an integer back
_SHORT: Final = re.compile(rb"-?[0-9.]{1,15}")  # up to 15 digits a double gives any decimal back
_EPOCH: Final = datetime(1970, 1, 1)
_REMEMBERED: Final = 512
_SMALL: Final = 64


@dataclass(slots=True)
class Entries:
    """What some fields add to the indexes: words for apply.lua, and the parts of `_ix`."""

    items: list[bytes] = field(default_factory=list[bytes])
    claims: list[bytes] = field(default_factory=list[bytes])
    index: list[bytes] = field(default_factory=list[bytes])


Entry: TypeAlias = Callable[[Any, bytes, Entries], None]


@dataclass(frozen=True, slots=True)
class Writing:
    """How one field is written. `entry` is None for a field without an index; `none` is its entry for None."""

    spec: FieldSpec
    name: str
    word: bytes
    text: Text
    entry: Entry | None
    none: tuple[bytes, ...] = ()
    none_index: bytes = b""


@cache
def writings(schema: ModelSchema) -> tuple[Writing, ...]:
    """How each field of a model is written, in row order."""
    return tuple(_writing(spec) for spec in schema.fields)


def encode(schema: ModelSchema, values: Mapping[str, Any]) -> tuple[Row, Entries]:
    """The row of a record, and all its index entries.

    Raises pydantic's ValidationError naming every field whose value cannot be stored or indexed; it shows no value.
    """
    row: Row = []
    entries = Entries()
    add, items, index = row.append, entries.items, entries.index
    try:
        for writing in writings(schema):
            value = values[writing.name]
            if value is None:
                add(None)
                if writing.entry is not None:
                    items.extend(writing.none)
                    index.append(writing.none_index)
            else:
                text = writing.text(value)
                add(text)
                if writing.entry is not None:
                    writing.entry(value, text, entries)
    except (TypeError, ValueError):
        raise _unstorable(schema, values) from None
    return row, entries


def encode_row(schema: ModelSchema, values: Mapping[str, Any]) -> Row:
    """The stored texts of a record's values; raises as `encode` does."""
    try:
        return [
            None if (value := values[writing.name]) is None else writing.text(value)
            for writing in writings(schema)
        ]
    except (TypeError, ValueError):
        raise _unstorable(schema, values) from None


def entries_of(
    schema: ModelSchema, specs: Iterable[FieldSpec], values: Mapping[str, Any], row: Row
) -> Entries:
    """The index entries of some fields; raises as `encode` does."""
    entries, ways = Entries(), writings(schema)
    try:
        for spec in specs:
            writing, text = ways[spec.position], row[spec.position]
            if writing.entry is None:
                continue
            if text is None:
                entries.items.extend(writing.none)
            else:
                writing.entry(values[spec.name], text, entries)
    except (TypeError, ValueError):
        raise _unstorable(schema, values) from None
    return entries


def _unstorable(schema: ModelSchema, values: Mapping[str, Any]) -> ValidationError:
    """Every reason why values cannot be written, as the codecs say."""
    errors: list[InitErrorDetails] = []
    for spec in schema.fields:
        value = values[spec.name]
        if value is None:
            continue
        try:
            spec.codec.encode(value)
            if spec.kind is Kind.NUMBER:
                spec.codec.score(value)
        except (TypeError, ValueError) as error:
            kind = PydanticCustomError("not_storable", "{why}", {"why": str(error)})
            errors.append(InitErrorDetails(type=kind, loc=(spec.name,), input=None))
    return ValidationError.from_exception_data(schema.model, errors, hide_input=True)


def _writing(spec: FieldSpec) -> Writing:
    name = spec.name.encode()
    text = _TEXTS.get(id(spec.codec), spec.codec.encode)
    match spec.kind:
        case Kind.STORED | Kind.KEY:
            return Writing(spec, spec.name, name, text, None)
        case Kind.NUMBER:
            entry = _number(name, spec.codec)
        case Kind.TEXT:
            entry = _text(name)
        case Kind.UNIQUE:
            entry = _unique(name, spec.codec)
        case _ if spec.member is not None:
            entry = _tags(name, spec.member)
        case _:
            entry = _tag(name, spec.codec)
    return Writing(spec, spec.name, name, text, entry, (b"0", name), b"t%b=1:%%;" % name)


# Texts.


def _datetime_text(value: datetime) -> bytes:
    if value.tzinfo is None or value.tzinfo is UTC:
        return value.isoformat().encode()
    return scalars.DATETIME.encode(value)


_TEXTS: Final[Mapping[int, Text]] = {
    id(scalars.STR): str.encode,
    id(scalars.INT): b"%d".__mod__,
    id(scalars.FLOAT): lambda value: (
        repr(value).encode() if type(value) is float else scalars.FLOAT.encode(value)
    ),
    id(scalars.BOOL): lambda value: b"1" if value else b"0",
    id(scalars.DATETIME): _datetime_text,
}


# Entries.


def _number(name: bytes, codec: Codec) -> Entry:
    """A score. Where a short way is taken, the stored text is a score already."""

    def by_codec(value: Any, text: bytes, into: Entries) -> None:
        score = codec.score(value)
        into.items += (b"z", name, score.text, score.exact or b"")

    def whole(value: Any, text: bytes, into: Entries) -> None:
        if -_SAFE < value < _SAFE:
            into.items += (b"z", name, text, b"")
        else:
            by_codec(value, text, into)

    def double(value: Any, text: bytes, into: Entries) -> None:
        if type(value) is float and value:
            if value != value:
                raise ValueError
            into.items += (b"z", name, text, b"")
        else:
            by_codec(value, text, into)

    def decimal(value: Any, text: bytes, into: Entries) -> None:
        if value and _SHORT.fullmatch(text):
            into.items += (b"z", name, text, b"")
        else:
            by_codec(value, text, into)

    def moment(value: Any, text: bytes, into: Entries) -> None:
        if value.tzinfo is None or value.tzinfo is UTC:
            since = value.replace(tzinfo=None) - _EPOCH
            micros = (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds
            if -_SAFE < micros < _SAFE:
                into.items += (b"z", name, b"%d" % micros, b"")
                return
        by_codec(value, text, into)

    ways = {
        id(scalars.INT): whole,
        id(scalars.BOOL): whole,
        id(scalars.FLOAT): double,
        id(scalars.DECIMAL): decimal,
        id(scalars.DATETIME): moment,
    }
    return ways.get(id(codec), by_codec)


def _text(name: bytes) -> Entry:
    def entry(value: Any, text: bytes, into: Entries) -> None:
        payload = escape_text(text)
        into.items += (b"l", name, payload)
        into.index.append(b"l%b=%d:%b;" % (name, len(payload), payload))

    return entry


def _unique(name: bytes, codec: Codec) -> Entry:
    def entry(value: Any, text: bytes, into: Entries) -> None:
        token = codec.token(value)
        into.claims += (name, token)
        into.index.append(b"u%b=%d:%b;" % (name, len(token), token))

    return entry


def _tag(name: bytes, codec: Codec) -> Entry:
    """A tag's entry follows from its text, and texts recur: some are remembered."""
    known: dict[bytes, tuple[tuple[bytes, ...], bytes]] = {}

    def entry(value: Any, text: bytes, into: Entries) -> None:
        found = known.get(text)
        if found is None:
            token = codec.token(value)
            found = (b"t", name, b"1", token, text), b"t%b=%d:%b;" % (name, len(token), token)
            if len(known) < _REMEMBERED and len(text) <= _SMALL:
                known[text] = found
        into.items += found[0]
        into.index.append(found[1])

    return entry


def _tags(name: bytes, member: Codec) -> Entry:
    def entry(value: Any, text: bytes, into: Entries) -> None:
        tokens = {member.token(one): member.encode(one) for one in value}
        if not tokens:
            into.items += (b"t", name, b"0")
            return
        into.items += (b"t", name, b"%d" % len(tokens), *(word for pair in tokens.items() for word in pair))
        into.index.append(b"t%b=%b;" % (name, b"".join(b"%d:%b" % (len(token), token) for token in tokens)))

    return entry
