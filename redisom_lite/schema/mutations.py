"""A record and its changes, as data: what apply.lua is asked to do.

Pure: turns values into stored texts and index items, and says which mutation they make. A `Mutation` is complete but
for the two positions (model, key) that only the step it travels in can know.

Rules: a *row* is a list of stored texts by field position, `None` for a value that is None. Index items follow the row;
the server works out for itself what they replace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from redisom_lite.codec import NONE_TOKEN
from redisom_lite.keys import escape_text
from redisom_lite.schema.lifetime import KEEP
from redisom_lite.schema.model_schema import FieldSpec, Kind, ModelSchema

Row = list[bytes | None]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of one record: the operation's name, the record's key (sort form), and what the script reads after."""

    name: bytes
    member: bytes
    args: tuple[bytes, ...]


def encode_row(schema: ModelSchema, values: Mapping[str, Any]) -> Row:
    """The stored texts of a record's values.

    Raises pydantic's ValidationError naming every field whose value cannot be stored; it never shows a value.
    """
    row: Row = []
    errors: list[InitErrorDetails] = []
    for spec in schema.fields:
        value = values[spec.name]
        try:
            row.append(None if value is None else spec.codec.encode(value))
        except (TypeError, ValueError) as error:
            errors.append(_unstorable(spec, error))
    if errors:
        raise ValidationError.from_exception_data(schema.model, errors, hide_input=True)
    return row


def _unstorable(spec: FieldSpec, error: Exception) -> InitErrorDetails:
    kind = PydanticCustomError("not_storable", "{why}", {"why": str(error)})
    return InitErrorDetails(type=kind, loc=(spec.name,), input=None)


def index_items(
    schema: ModelSchema, specs: Iterable[FieldSpec], values: Mapping[str, Any], row: Row
) -> list[bytes]:
    """The index items of some fields, counted: what apply.lua's `take_items` reads.

    Raises pydantic's ValidationError for a value that has no place in its index (NaN).
    """
    items: list[bytes] = []
    count = 0
    errors: list[InitErrorDetails] = []
    for spec in specs:
        kind = spec.kind
        if kind is Kind.STORED or kind is Kind.KEY:
            continue
        count += 1
        value = values[spec.name]
        if value is None:
            items += (b"0", spec.name.encode())
            continue
        try:
            items += _item(spec, value, row[spec.position])
        except (TypeError, ValueError) as error:
            errors.append(_unstorable(spec, error))
    if errors:
        raise ValidationError.from_exception_data(schema.model, errors, hide_input=True)
    return [b"%d" % count, *items]


def _item(spec: FieldSpec, value: Any, text: bytes | None) -> tuple[bytes, ...]:
    name = spec.name.encode()
    match spec.kind:
        case Kind.NUMBER:
            score = spec.codec.score(value)
            return (b"z", name, score.text, score.exact or b"")
        case Kind.TEXT:
            return (b"l", name, escape_text(spec.codec.lex(value)))
        case Kind.UNIQUE:
            return (b"u", name, spec.codec.token(value))
        case _ if spec.member is not None:
            tokens = {spec.member.token(one): spec.member.encode(one) for one in value if one is not None}
            if None in value:
                tokens[NONE_TOKEN] = b""
            return (b"t", name, b"%d" % len(tokens), *(part for pair in tokens.items() for part in pair))
        case _:
            return (b"t", name, b"1", spec.codec.token(value), text or b"")


def put(
    schema: ModelSchema, values: Mapping[str, Any], *, only_if_absent: bool, lifetime: bytes
) -> tuple[Mutation, Row]:
    """Write a record whole; returns the mutation and the row it will have."""
    row = encode_row(schema, values)
    member = schema.key.codec.member(values[schema.key.name])
    condition = b"absent" if only_if_absent else b""
    fields = _fields(schema.fields, row)
    items = index_items(schema, schema.fields, values, row)
    return Mutation(b"put", member, (condition, lifetime, *fields, *items)), row


def dirty(
    schema: ModelSchema, stored: Sequence[bytes | None], values: Mapping[str, Any], row: Row
) -> list[FieldSpec]:
    """The fields whose values differ from the stored texts; texts that differ but mean the same do not count."""
    return [
        spec
        for spec, old, new in zip(schema.fields, stored, row, strict=True)
        if old != new and not (old is not None and new is not None and _means(spec, old, values[spec.name]))
    ]


def _means(spec: FieldSpec, text: bytes, value: Any) -> bool:
    try:
        return bool(spec.codec.decode(text) == value)
    except ValueError:
        return False


def change(
    schema: ModelSchema,
    member: bytes,
    specs: Sequence[FieldSpec],
    values: Mapping[str, Any],
    row: Row,
    *,
    version: int | None = None,
    lifetime: bytes = KEEP,
    guard: Sequence[bytes] = (b"0",),
) -> Mutation:
    """Write some fields of a record that exists. `guard` is a compiled program (see `plan.program`)."""
    expected = b"" if version is None else b"%d" % version
    items = index_items(schema, specs, values, row)
    return Mutation(b"set", member, (expected, lifetime, *guard, *_fields(specs, row), *items))


def _fields(specs: Sequence[FieldSpec], row: Row) -> list[bytes]:
    texts: list[bytes] = []
    nulls: list[bytes] = []
    for spec in specs:
        text = row[spec.position]
        if text is None:
            nulls.append(spec.name.encode())
        else:
            texts += (spec.name.encode(), text)
    return [b"%d" % (len(texts) // 2), *texts, b"%d" % len(nulls), *nulls]


def remove(member: bytes, *, version: int | None = None, guard: Sequence[bytes] = (b"0",)) -> Mutation:
    """Delete a record; its result is 1 if there was one."""
    return Mutation(b"del", member, (b"" if version is None else b"%d" % version, *guard))


def live(member: bytes, lifetime: bytes, *, guard: Sequence[bytes] = (b"0",)) -> Mutation:
    """Change a record's lifetime; its result is what remains in ms, -1 for no limit, -2 for a failed guard."""
    return Mutation(b"life", member, (lifetime, *guard))


@dataclass(frozen=True, slots=True)
class Step:
    """An addition to one number: `bounds` are (`ge`|`gt`|`le`|`lt`, text); `default` stands in for an absent field."""

    spec: FieldSpec
    kind: bytes
    delta: bytes
    default: bytes
    bounds: tuple[tuple[bytes, bytes], ...]


def increase(
    member: bytes, steps: Sequence[Step], *, version: int | None = None, lifetime: bytes = KEEP
) -> Mutation:
    """Add to numbers on the server; its result is their new texts, then the version (1 when there is none)."""
    args = [b"" if version is None else b"%d" % version, lifetime, b"%d" % len(steps)]
    for step in steps:
        indexed = b"1" if step.spec.kind is Kind.NUMBER else b"0"
        args += (step.spec.name.encode(), step.kind, indexed, step.delta, step.default)
        args += (b"%d" % len(step.bounds), *(part for bound in step.bounds for part in bound))
    return Mutation(b"inc", member, tuple(args))


def mend(
    schema: ModelSchema, member: bytes, values: Mapping[str, Any], row: Row, absent: Iterable[str]
) -> Mutation:
    """Index a stored record anew from the values read of it; its result is 0 if they are not what is stored any more.

    `row` is that of `values`, with the defaults of the fields named in `absent`, which the record lacks.
    """
    missing = frozenset(absent)
    stored = [spec for spec in schema.fields if spec.name not in missing and spec.kind is not Kind.KEY]
    filled = [
        word
        for name in missing
        if (text := row[schema.by_name[name].position]) is not None
        for word in (name.encode(), text)
    ]
    items = index_items(schema, schema.fields, values, row)
    return Mutation(b"mend", member, (*_fields(stored, row), b"%d" % (len(filled) // 2), *filled, *items))


def look(member: bytes, tags: Sequence[bytes]) -> Mutation:
    """Clean up after a record that indexes list but that is gone."""
    return Mutation(b"look", member, (b"%d" % len(tags), *tags))
