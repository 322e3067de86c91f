"""Where one model's records and indexes live: its schema within a namespace, as ready-made bytes.

Everything here is computed once per model and database; the engine only joins it. Partitions count from 0; a model
that is not partitioned has one, without a number in its keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha1
from typing import Final

from redisom_lite import keys
from redisom_lite.codec.scalars import INT
from redisom_lite.schema.model_schema import FieldSpec, Kind, ModelSchema
from redisom_lite.words import Words, packed, slotted

_HMGET: Final = slotted(b"HMGET")


class Keyspace:
    """One model in one namespace."""

    def __init__(self, schema: ModelSchema, namespace: str) -> None:
        self.schema = schema
        self.namespace = namespace
        count = schema.partitions
        numbers = (None,) if count == 1 else tuple(range(count))
        self.bases = tuple(keys.base(namespace, schema.prefix, schema.group, number) for number in numbers)
        self._stems = tuple(base + b":r:" for base in self.bases)
        self.int_keys = b"1" if schema.key.codec is INT else b"0"
        self._text = _text_of_int if schema.key.codec is INT else keys.encode
        """A primary key as it stands in keys."""

    def partition(self, member: bytes) -> int:
        """Which partition a primary key (sort form) belongs to."""
        return 0 if len(self.bases) == 1 else keys.partition_of(member, len(self.bases))

    def locate(self, member: bytes) -> tuple[int, bytes]:
        """The partition and the key of the record with this primary key (sort form)."""
        partition = 0 if len(self.bases) == 1 else keys.partition_of(member, len(self.bases))
        return partition, self._stems[partition] + self._text(member)

    def record_key(self, member: bytes) -> bytes:
        """The key of the record with this primary key (sort form)."""
        return self._stems[self.partition(member)] + self._text(member)

    def record_keys(self, members: Sequence[bytes]) -> list[bytes]:
        """The keys of many records, in order."""
        if self.schema.partitions > 1:
            return [self.record_key(member) for member in members]
        (stem,), text = self._stems, self._text
        return [stem + text(member) for member in members]

    def part_key(self, member: bytes, name: bytes) -> bytes:
        """The key of a part of that record; `name` percent-encoded."""
        return self.bases[self.partition(member)] + b":p:" + self._text(member) + b":" + name

    def whole(self, member: bytes, row: list[bytes | None]) -> list[bytes | None] | None:
        """A row with its key filled in where another program left it out; None when nothing is stored at all."""
        position = self.schema.key.position
        if row[position] is None:
            if all(text is None for text in row):
                return None
            codec = self.schema.key.codec
            row[position] = codec.encode(codec.of_member(member))
        return row

    def registry(self, partition: int = 0) -> bytes:
        return self.bases[partition] + b":k"

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.schema.fields)

    @cached_property
    def names(self) -> tuple[bytes, ...]:
        """The hash fields of a record, in row order, then `_null` and the version where there is one."""
        reserved = (b"_null", b"_v") if self.schema.versioned else (b"_null",)
        return (*(spec.name.encode() for spec in self.schema.fields), *reserved)

    def reading(self, record_key: bytes) -> Words:
        """HMGET of a record's row by its key."""
        return Words(2 + len(self.names), [_HMGET % (len(record_key), record_key), self._packed_names])

    @cached_property
    def _packed_names(self) -> bytes:
        return packed(*self.names)

    def names_of(self, specs: Iterable[FieldSpec]) -> tuple[bytes, ...]:
        """The hash fields that tell the values of these fields, and whether there is a record at all."""
        here = (spec.name.encode() for spec in specs if spec.position < len(self.schema.fields))
        return tuple(dict.fromkeys((self.schema.key.name.encode(), *here, b"_null")))

    @cached_property
    def indexes(self) -> Mapping[str, str]:
        """Every index of the model by its name, with a definition: another definition needs a reindex."""
        found = {spec.name: _definition(spec) for spec in self.schema.fields if _is_index(spec)}
        for composite in self.schema.composites:
            name = f"{composite.tag}+{composite.range}"
            found[name] = f"composite {found[composite.tag]} {found[composite.range]}"
        return found

    @cached_property
    def fingerprint(self) -> bytes:
        """What tells this declaration of the model's indexes, as this storage format keeps them, from another."""
        text = "\n".join(
            ["2", *(f"{name}={definition}" for name, definition in sorted(self.indexes.items()))]
        )
        return sha1(text.encode(), usedforsecurity=False).hexdigest()[:12].encode()

    @cached_property
    def numbers(self) -> tuple[bytes, ...]:
        """The names of the numeric `Range` fields."""
        return tuple(spec.name.encode() for spec in self.schema.fields if spec.kind is Kind.NUMBER)

    @cached_property
    def declarations(self) -> tuple[bytes, ...]:
        """What a step is told of the model in each partition: one word, packed, as models.lua reads it."""
        schema = self.schema
        flags = self.int_keys + b"".join(
            b"1" if flag else b"0" for flag in (schema.evictable, schema.versioned)
        )
        numbers = b"".join(name + b"," for name in self.numbers)
        composites = b"".join(f"{spec.tag}+{spec.range},".encode() for spec in schema.composites)
        fading = b"".join(b"%b+%d," % (spec.word, spec.ttl_ms or 0) for spec in schema.fading)
        rest = self.fingerprint, flags, numbers, composites, fading
        return tuple(packed(b"\n".join((base, *rest))) for base in self.bases)

    @cached_property
    def tags(self) -> tuple[bytes, ...]:
        """The names of every field that may have tag tokens: tags, and whatever may be None."""
        return tuple(
            spec.name.encode()
            for spec in self.schema.fields
            if spec.kind is Kind.TAG or (spec.nullable and _is_index(spec))
        )


def _text_of_int(member: bytes) -> bytes:
    if b"0" < member[:1] < b"z":  # not negative, and of less than 61 digits: see `keys.member_of_int`
        return member[1:]
    return b"%d" % keys.int_of_member(member)


def _is_index(spec: FieldSpec) -> bool:
    return spec.kind not in (Kind.STORED, Kind.KEY)


def _definition(spec: FieldSpec) -> str:
    codec = spec.member or spec.codec
    return f"{spec.kind.value} {codec.form}"
