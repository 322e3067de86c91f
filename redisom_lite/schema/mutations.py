"""A record and its changes, as data: what apply.lua is asked to do.

Pure: says which mutation values make, encoded as `schema/encoding.py` does. A `Mutation` is complete but for the two
positions (model, key) that only the step it travels in can know. Index entries follow the row; the server works out for
itself what they replace. Lists travel as their length in words, then the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from redisom_lite.codec.structure import JsonCodec
from redisom_lite.schema.encoding import NOTHING, Encoded, Row, encoder
from redisom_lite.schema.lifetime import KEEP
from redisom_lite.schema.model_schema import FieldSpec, Kind, ModelSchema
from redisom_lite.words import WORD, Words, joined, number, packed, slotted

__all__ = [
    "Mutation",
    "Row",
    "Step",
    "change",
    "copy",
    "dirty",
    "encode_row",
    "increase",
    "live",
    "look",
    "mend",
    "put",
    "remove",
    "swap",
]

_PUT: Final = 4 * WORD
NO_GUARD: Final = (b"0",)
"""A program without instructions."""
SAME: Final = (b"=",)
"""The program of the mutation before it in its step."""
NEVER: Final = (b"1", b"O")
"""A program that no record satisfies."""


class Mutation(NamedTuple):
    """One change of one record: the operation's name, the record's key (sort form), and what the script reads after."""

    name: bytes
    member: bytes
    args: Words


def encode_row(schema: ModelSchema, values: Mapping[str, Any]) -> Row:
    """The stored texts of a record's values.

    Raises pydantic's ValidationError naming every field whose value cannot be stored or indexed; it shows no value.
    """
    return encoder(schema).row(values)


def put(
    schema: ModelSchema, values: Mapping[str, Any], *, only_if_absent: bool, lifetime: bytes
) -> tuple[Mutation, Row]:
    """Write a record whole; returns the mutation and the row it will have."""
    encoded = encoder(schema).record(values)
    member = schema.key.codec.member(values[schema.key.name])
    return _put(member, encoded, encoded.fields, encoded.nulls, only_if_absent, lifetime), encoded.row


def copy(
    schema: ModelSchema,
    member: bytes,
    values: Mapping[str, Any],
    texts: Mapping[bytes, bytes],
    nulls: Iterable[bytes],
    *,
    only_if_absent: bool,
    lifetime: bytes,
) -> Mutation:
    """Write a record whole as another server stores it: `texts` by hash field, those the class does not know too.

    `values` are those read of it, for its index entries; `nulls` the names of its fields whose value is None.
    """
    fields = _counted([word for pair in texts.items() for word in pair])
    return _put(member, encoder(schema).record(values), fields, nulls, only_if_absent, lifetime)


def _put(
    member: bytes,
    encoded: Encoded,
    fields: Words,
    nulls: Iterable[bytes],
    only_if_absent: bool,
    lifetime: bytes,
) -> Mutation:
    claims, items, index = encoded.claims, encoded.items, encoded.entries
    condition, null = b"absent" if only_if_absent else b"", b",".join(sorted(nulls))
    start = _PUT % (len(condition), condition, len(lifetime), lifetime, len(null), null, len(index), index)
    length = 4 + claims.length + fields.length + items.length
    return Mutation(b"put", member, Words(length, [start, *claims.pieces, *fields.pieces, *items.pieces]))


def dirty(
    schema: ModelSchema, stored: Sequence[bytes | None], values: Mapping[str, Any], row: Row
) -> list[FieldSpec]:
    """The fields whose values differ from the stored texts; texts that differ but mean the same do not count."""
    if stored == row:
        return []
    return [
        spec
        for spec, old, new in zip(schema.fields, stored, row, strict=True)
        if old != new
        and not (old is not None and new is not None and _means(spec, old, new, values[spec.name]))
    ]


def _means(spec: FieldSpec, old: bytes, new: bytes, value: Any) -> bool:
    """Whether a stored text, which another program may have written, stands for this very value.

    Equality is not enough: 0.0 and -0.0 are equal, and so are two times of different offsets.
    """
    try:
        known = spec.codec.decode(old)
        text = spec.codec.encode(known)
    except (TypeError, ValueError):
        return False
    if text == new:
        return True
    # equal sets may list their members in different order
    return isinstance(spec.codec, JsonCodec) and sorted(text) == sorted(new) and bool(known == value)


def change(
    schema: ModelSchema,
    member: bytes,
    specs: Sequence[FieldSpec],
    values: Mapping[str, Any],
    *,
    version: int | None = None,
    lifetime: bytes = KEEP,
    guard: Sequence[bytes] = NO_GUARD,
) -> Mutation:
    """Write some fields of a record that exists. `guard` is a compiled program (see `plan.program`)."""
    start = _opening(_expected(version), lifetime, *_guarded(guard))
    _, fields, nulls, claims, items, _ = encoder(schema).record(values, specs)
    return Mutation(b"set", member, joined((start, claims, fields, _counted(nulls), items)))


def swap(spec: FieldSpec, text: bytes | None, changed: Mutation) -> Mutation:
    """A `change` that needs a field's text to be `text` still: else its result is -1, or 0 if the record is gone."""
    return Mutation(b"swap", changed.member, joined((Words.of((spec.word, text or b"")), changed.args)))


def _expected(version: int | None) -> bytes:
    return b"" if version is None else b"%d" % version


def _counted(words: Sequence[bytes]) -> Words:
    return Words(1 + len(words), [number(len(words)), packed(*words)]) if words else NOTHING


@lru_cache(maxsize=256)
def _opening(*words: bytes) -> Words:
    """What a mutation begins with: these words are few, and the same again and again."""
    return Words.of(words)


def _guarded(program: Sequence[bytes]) -> Sequence[bytes]:
    return NO_GUARD if program[0] == b"0" else (b"%d" % len(program), *program)


def remove(member: bytes, *, version: int | None = None, guard: Sequence[bytes] = NO_GUARD) -> Mutation:
    """Delete a record; its result is 1 if there was one."""
    return Mutation(b"del", member, _opening(_expected(version), *_guarded(guard)))


def live(member: bytes, lifetime: bytes, *, guard: Sequence[bytes] = NO_GUARD) -> Mutation:
    """Change a record's lifetime; its result is what remains in ms, -1 for no limit, -2 for a failed guard."""
    return Mutation(b"life", member, _opening(lifetime, *_guarded(guard)))


class Step(NamedTuple):
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
    opening = _opening(_expected(version), lifetime, b"%d" % len(steps))
    words, pieces = opening.length, [*opening.pieces]
    for spec, kind, delta, default, bounds in steps:
        length, piece = _addition(spec, kind, default, bounds)
        words += length
        pieces.append(piece % (len(delta), delta))
    return Mutation(b"inc", member, Words(words, pieces))


_INDEXES: Final = {Kind.NUMBER: b"z", Kind.TAG: b"t", Kind.UNIQUE: b"u"}


@lru_cache(maxsize=256)
def _addition(
    spec: FieldSpec, kind: bytes, default: bytes, bounds: tuple[tuple[bytes, bytes], ...]
) -> tuple[int, bytes]:
    """How many words an addition has, and the words themselves with a slot for the amount."""
    limits = [part for bound in bounds for part in bound]
    before = slotted(spec.word, kind, _INDEXES.get(spec.kind, b""))
    return 6 + len(limits), before + packed(default, b"%d" % len(bounds), *limits)


def mend(
    schema: ModelSchema, member: bytes, values: Mapping[str, Any], row: Row, absent: Iterable[str]
) -> Mutation:
    """Index a stored record anew from the values read of it; its result is 0 if they are not what is stored any more.

    `row` has the texts as they were read, `values` the defaults, too, of the fields named in `absent`.
    """
    missing = frozenset(absent)
    stored = [spec for spec in schema.fields if spec.name not in missing and spec.kind is not Kind.KEY]
    lacking = [schema.by_name[name] for name in missing]
    whole = encoder(schema).record(values)
    filled = encoder(schema).record(values, [spec for spec in lacking if spec.ttl_ms is None])
    texts = [(spec.word, row[spec.position]) for spec in stored]
    fields = [word for name, text in texts if text is not None for word in (name, text)]
    nulls = [name for name, text in texts if text is None]
    absence = filled.fields, _counted(filled.nulls)
    words = *absence, whole.claims, _counted(fields), _counted(nulls), whole.items
    return Mutation(b"mend", member, joined(words))


def look(member: bytes, tags: Sequence[bytes], claim: Sequence[bytes] = ()) -> Mutation:
    """Clean up after a record that indexes list but that is gone; `claim` is a unique field it holds, and the token."""
    return Mutation(b"look", member, joined((_counted(tags), _counted(claim))))
