"""How a model's values become stored texts and index entries, prepared once for each field.

For every field there is a function from value to text and, for an indexed one, one from value and text to its *entry*:
words of apply.lua, and what the record's `_ix` says of them. They answer for the values that are common in their type
by the shortest way and leave all others to the codec, whose answer is the definition: both ways agree. Texts and whole
numbers recur in most fields, so what has been made of some of them is remembered: asking takes a third of making.

Rules: a *row* is a list of stored texts by field position, `None` for a value that is None. Values have passed the
model's checker. What goes to the script is packed at once (see `words.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from redisom_lite.codec import Codec, scalars
from redisom_lite.keys import escape_text
from redisom_lite.schema.model_schema import FieldSpec, Kind, ModelSchema
from redisom_lite.words import Words, number, packed, slotted

Row: TypeAlias = list[bytes | None]
Text: TypeAlias = Callable[[Any], bytes]
Entry: TypeAlias = tuple[int, bytes, bytes, bytes]
"""Of one field: the number of words it adds to the entries, these words, the two words of the unique value it claims
(or nothing), its part of `_ix`.
"""
Enter: TypeAlias = Callable[[Any, bytes], Entry]
Made: TypeAlias = tuple[bytes, bytes, Entry | None]
"""What becomes of one value: its text, the packed words of its hash field, its entry if the field is indexed."""
Way: TypeAlias = tuple[str, bytes, Entry | None, Callable[[Any], Made | None], Callable[[Any], Made]]
"""How one field is written: its name, also as it is stored, its entry for None, what is remembered of a value, and what
is made of one.
"""

NOTHING: Final = Words(1, [number(0)])
"""An empty list of apply.lua."""

_SAFE: Final = 2**53  # up to here a double gives an integer back
_SHORT: Final = re.compile(rb"-?[0-9.]{1,15}")  # up to 15 digits a double gives any decimal back
_REMEMBERED: Final = 512
_SMALL: Final = 64


class Encoded(NamedTuple):
    """A record, or some of its fields, as it is written: lists are lists of apply.lua.

    `row` and `nulls` (names of those that are None) tell of these fields only; `entries` is their `_ix`.
    """

    row: Row
    fields: Words
    nulls: list[bytes]
    claims: Words
    items: Words
    entries: bytes


class Encoder:
    """How the records of one model are written."""

    def __init__(self, schema: ModelSchema) -> None:
        self._schema = schema
        self._texts = tuple(_text_of(spec) for spec in schema.fields)
        self._ways = tuple(map(_way, schema.fields))
        first, *others = (spec.name for spec in schema.fields)
        self._pick: Callable[[Mapping[str, Any]], tuple[Any, ...]] = (
            itemgetter(first, *others) if others else lambda values: (values[first],)
        )

    def row(self, values: Mapping[str, Any]) -> Row:
        """The stored texts of a record's values.

        Raises pydantic's ValidationError naming every field whose value cannot be stored or indexed; it shows no value.
        """
        try:
            return [
                None if value is None else text(value)
                for text, value in zip(self._texts, self._pick(values), strict=True)
            ]
        except (TypeError, ValueError):
            raise _unstorable(self._schema, values) from None

    def record(self, values: Mapping[str, Any], specs: Iterable[FieldSpec] | None = None) -> Encoded:
        """A record as it is written, or these fields of it. Raises as `row` does."""
        ways = self._ways if specs is None else [self._ways[spec.position] for spec in specs]
        row: Row = []
        pairs: list[bytes] = []
        nulls: list[bytes] = []
        words = 0
        items: list[bytes] = []
        claims: list[bytes] = []
        index: list[bytes] = []
        try:
            for name, word, none, known, make in ways:
                value = values[name]
                if value is None:
                    row.append(None)
                    nulls.append(word)
                    entry = none
                else:
                    text, pair, entry = known(value) or make(value)
                    row.append(text)
                    pairs.append(pair)
                if entry is not None:
                    count, item, claim, part = entry
                    words += count
                    items.append(item)
                    index.append(part)
                    if claim:
                        claims.append(claim)
        except (TypeError, ValueError):
            raise _unstorable(self._schema, values) from None
        stored = 2 * len(pairs)
        return Encoded(
            row,
            Words(1 + stored, [number(stored), *pairs]),
            nulls,
            NOTHING if not claims else Words(1 + 2 * len(claims), [number(2 * len(claims)), *claims]),
            Words(1 + words, [number(words), *items]),
            b"".join(index),
        )


@cache
def encoder(schema: ModelSchema) -> Encoder:
    """How the records of a model are written; made once."""
    return Encoder(schema)


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


def _way(spec: FieldSpec) -> Way:
    text_of, slots, enter = _text_of(spec), slotted(spec.word), _enter(spec)
    # Of these types alone all equal values have one text; keys and unique values do not recur.
    recurs = spec.codec in (scalars.STR, scalars.INT) and spec.kind not in (Kind.KEY, Kind.UNIQUE)
    known: dict[Any, Made] = {}

    def make(value: Any) -> Made:
        text = text_of(value)
        made = text, slots % (len(text), text), None if enter is None else enter(value, text)
        if recurs and len(known) < _REMEMBERED and len(text) <= _SMALL:
            known[value] = made
        return made

    none: Entry | None = None
    if enter is not None:
        none = 2, packed(b"0", spec.word), b"", b"t%b=1:%%;" % spec.word
    return spec.name, spec.word, none, known.get if recurs else _nothing, make


def _nothing(value: Any) -> None:
    return None


def _enter(spec: FieldSpec) -> Enter | None:
    """None for a field without an index."""
    match spec.kind:
        case Kind.STORED | Kind.KEY:
            return None
        case Kind.NUMBER:
            return _number(spec.word, spec.codec)
        case Kind.TEXT:
            return _text(spec.word)
        case Kind.UNIQUE:
            return _unique(spec.word, spec.codec)
        case _ if spec.member is not None:
            return _tags(spec.word, spec.member)
        case _:
            return _tag(spec.word, spec.codec)


# Texts.


def _text_of(spec: FieldSpec) -> Text:
    return _TEXTS.get(id(spec.codec), spec.codec.encode)


def _datetime_text(value: datetime) -> bytes:
    return scalars.DATETIME.encode(value) if value.utcoffset() else value.isoformat().encode()


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


def _number(name: bytes, codec: Codec) -> Enter:
    """A score. Where a short way is taken, the stored text is a score already."""
    as_it_is, inexact = slotted(b"z", name), slotted(b"x", name)

    def by_codec(value: Any, text: bytes) -> Entry:
        score = codec.score(value)
        if not score.exact:
            return 3, as_it_is % (len(score.text), score.text), b"", b""
        return 4, inexact % (len(score.text), score.text) + packed(score.exact), b"", b""

    def whole(value: Any, text: bytes) -> Entry:
        if -_SAFE < value < _SAFE:
            return 3, as_it_is % (len(text), text), b"", b""
        return by_codec(value, text)

    def double(value: Any, text: bytes) -> Entry:
        if type(value) is float and value:
            if value != value:
                raise ValueError
            return 3, as_it_is % (len(text), text), b"", b""
        return by_codec(value, text)

    def decimal(value: Any, text: bytes) -> Entry:
        if value and _SHORT.fullmatch(text):
            return 3, as_it_is % (len(text), text), b"", b""
        return by_codec(value, text)

    def moment(value: Any, text: bytes) -> Entry:
        micros = scalars.datetime_number(value)
        if -_SAFE < micros < _SAFE:
            score = b"%d" % micros
            return 3, as_it_is % (len(score), score), b"", b""
        return by_codec(value, text)

    ways = {
        id(scalars.INT): whole,
        id(scalars.BOOL): whole,
        id(scalars.FLOAT): double,
        id(scalars.DECIMAL): decimal,
        id(scalars.DATETIME): moment,
    }
    return ways.get(id(codec), by_codec)


def _text(name: bytes) -> Enter:
    start = slotted(b"l", name)

    def enter(value: Any, text: bytes) -> Entry:
        payload = escape_text(text)
        size = len(payload)
        return 3, start % (size, payload), b"", b"l%b=%d:%b;" % (name, size, payload)

    return enter


def _unique(name: bytes, codec: Codec) -> Enter:
    def enter(value: Any, text: bytes) -> Entry:
        token = codec.token(value)
        return 0, b"", packed(name, token), b"u%b=%d:%b;" % (name, len(token), token)

    return enter


def _tag(name: bytes, codec: Codec) -> Enter:
    def enter(value: Any, text: bytes) -> Entry:
        token = codec.token(value)
        part = b"t%b=%d:%b;" % (name, len(token), token)
        if token == text:
            return 3, packed(b"=", name, token), b"", part
        return 5, packed(b"t", name, b"1", token, text), b"", part

    return enter


def _tags(name: bytes, member: Codec) -> Enter:
    def enter(value: Any, text: bytes) -> Entry:
        tokens = {member.token(one): member.encode(one) for one in value}
        if not tokens:
            return 3, packed(b"t", name, b"0"), b"", b""
        words = (word for pair in tokens.items() for word in pair)
        part = b"t%b=%b;" % (name, b"".join([b"%d:%b" % (len(token), token) for token in tokens]))
        return 3 + 2 * len(tokens), packed(b"t", name, b"%d" % len(tokens), *words), b"", part

    return enter
