"""Looking at what is stored, not through the indexes but at them: every key of a model, every entry, every record.

Everything here streams: SCAN and its kin, a bounded number of entries in each step, each step judged at one instant by
a script, so that a record changed by others meanwhile is never taken for a fault.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

from redisom_lite import keys
from redisom_lite.codec import Codec
from redisom_lite.engine.scripts import load
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import RedisomError
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import Kind

PAGE: Final = 100
"""Entries judged in one step."""
_TAGGED: Final = 20
"""Where what a record says of its entries may be long."""

_SCANS: Final = {b"t": b"SSCAN", b"u": b"HSCAN", b"x": b"HSCAN", b"m": b"HSCAN", b"v": b"HSCAN"}
_SORTED: Final = {Kind.NUMBER: b"z", Kind.TEXT: b"l"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One record and what the indexes say of it, at one instant; texts as stored (see inspect.lua).

    `due` and `remaining`: how many ms off the end is by the deadline queue and by the key itself (None and -1: none).
    """

    member: bytes
    row: list[bytes | None]
    index: bytes | None
    due: int | None
    remaining: int
    registered: bool
    memo: bytes | None
    scores: list[bytes | None]
    exacts: list[bytes | None]
    missing: list[bytes]


@dataclass(frozen=True, slots=True)
class IndexKey:
    """One key that holds index entries, by what follows the model's base.

    `kind`: t tag, l text, z number or composite, u unique, x exact values, k registry, d deadlines, m memos,
    v listing of a tag's tokens; `name` is the field (a composite's tag), `payload` the token where one key
    stands for one.
    """

    suffix: bytes
    kind: bytes
    name: bytes = b""
    payload: bytes = b""


async def scan(transport: Transport, keyspace: Keyspace, partition: int) -> AsyncGenerator[list[bytes]]:
    """Every key of a partition, page by page, as what follows its base. Redis: SCAN."""
    base = keyspace.bases[partition]
    async with transport.session(keyspace.registry(partition)) as session:
        cursor = b"0"
        while True:
            cursor, found = await session.send(b"SCAN", cursor, b"MATCH", base + b":*", b"COUNT", b"1000")
            if found:
                yield [key[len(base) :] for key in found]
            if cursor in (b"0", 0):
                return


async def entries(
    transport: Transport, keyspace: Keyspace, base: bytes, key: IndexKey
) -> AsyncGenerator[list[bytes]]:
    """Every entry of an index key, page by page; one may come twice. Redis: SSCAN, HSCAN or ZSCAN."""
    command, cursor = _SCANS.get(key.kind, b"ZSCAN"), b"0"
    page = _TAGGED if keyspace.schema.multiple else PAGE
    while True:
        words = (command, base + key.suffix, cursor, b"COUNT", b"%d" % PAGE)
        (reply,) = await transport.commands([words], retry=True)
        if isinstance(reply, RedisomError):
            raise reply
        cursor, flat = reply
        found = list(flat if command == b"SSCAN" else flat[::2])
        values = [] if command == b"SSCAN" else list(flat[1::2])
        for first in range(0, len(found), page):
            part = found[first : first + page]
            yield [
                entry + b"\0" + values[first + n] if key.kind == b"u" else entry
                for n, entry in enumerate(part)
            ]
        if cursor in (b"0", 0):
            return


async def inspect(transport: Transport, keyspace: Keyspace, members: Sequence[bytes]) -> list[Seen]:
    """What is stored and indexed about these records, of one partition."""
    schema = keyspace.schema
    pairs = [name.encode() for spec in schema.composites for name in (spec.tag, spec.range)]
    reply = await transport.call(
        load("inspect"),
        [keyspace.record_key(member) for member in members],
        [
            keyspace.bases[keyspace.partition(members[0])],
            len(keyspace.numbers),
            *keyspace.numbers,
            len(pairs) // 2,
            *pairs,
            *members,
            *keyspace.names,
        ],
    )
    return [
        Seen(member, row, index, due, remaining, bool(registered), memo, scores, exacts, missing)
        for member, (row, index, due, remaining, registered, memo, scores, exacts, missing) in zip(
            members, reply, strict=True
        )
    ]


async def unclaimed(
    transport: Transport,
    keyspace: Keyspace,
    base: bytes,
    key: IndexKey,
    found: Sequence[bytes],
    *,
    drop: bool,
) -> tuple[list[bytes], list[bytes]]:
    """The members of dangling and of stale entries among `found`; `drop` removes those entries in the same step."""
    listed = [(entry.partition(b"\0")[0], member_of(key, entry)) for entry in found]
    reply = await transport.call(
        load("claims"),
        [
            base + key.suffix if key.kind == b"v" else _record_key(keyspace, base, member)
            for _, member in listed
        ],
        [
            base,
            b"1" if drop else b"0",
            key.kind,
            key.name,
            key.payload,
            key.suffix,
            *(entry if key.kind != b"u" else name for entry, (name, _) in zip(found, listed, strict=True)),
            *(member for _, member in listed),
        ],
    )
    dangling: list[bytes] = [listed[number - 1][1] for number in reply[0]]
    stale: list[bytes] = [listed[number - 1][1] for number in reply[1]]
    return dangling, stale


def member_of(key: IndexKey, entry: bytes) -> bytes:
    """The primary key (sort form) that an entry is about; empty where it is none of this index's form."""
    if key.kind == b"l":
        return entry.partition(keys.TEXT_END)[2]
    return entry.partition(b"\0")[2] if key.kind == b"u" else entry


def _record_key(keyspace: Keyspace, base: bytes, member: bytes) -> bytes:
    try:
        return keyspace.record_key(member)
    except ValueError:
        return base + b":r:%"  # no primary key at all: a record key that cannot exist


def index_key(keyspace: Keyspace, suffix: bytes) -> IndexKey | None:
    """What a key of the model is; None for one that belongs to no index the declaration knows."""
    names = {spec.name.encode(): spec for spec in keyspace.schema.fields}
    _, kind, *rest = suffix.split(b":")
    match kind, rest:
        case ((b"k" | b"due" | b"memo"), []):
            return IndexKey(suffix, {b"k": b"k", b"due": b"d", b"memo": b"m"}[kind])
        case b"i", [name] if name in names and names[name].kind in _SORTED:
            return IndexKey(suffix, _SORTED[names[name].kind], name)
        case b"x", [name] if name in keyspace.numbers:
            return IndexKey(suffix, b"x", name)
        case b"u", [name] if name in names and names[name].kind is Kind.UNIQUE:
            return IndexKey(suffix, b"u", name)
        case b"t", [name, token] if name in keyspace.tags:
            return IndexKey(suffix, b"t", name, token)
        case b"v", [name] if name in keyspace.tags:
            return IndexKey(suffix, b"v", name)
        case b"c", [tag, number, token] if any(
            (spec.tag.encode(), spec.range.encode()) == (tag, number) for spec in keyspace.schema.composites
        ):
            return IndexKey(suffix, b"z", tag, token)
        case _:
            return None


def is_record(suffix: bytes) -> bool:
    return suffix.startswith(b":r:")


def is_part(suffix: bytes) -> bool:
    return suffix.startswith(b":p:")


def is_own(suffix: bytes) -> bool:
    """Keys of the model that hold no entries about records."""
    return suffix in (b":meta", b":op") or suffix.startswith(b":op:")


def member_of_record(keyspace: Keyspace, suffix: bytes) -> bytes | None:
    """The member of a record's key, or of a part's; None when its text is no primary key of this model."""
    text = keys.decode(suffix[3:].partition(b":")[0])
    codec: Codec = keyspace.schema.key.codec
    try:
        return codec.member(codec.decode(text))
    except (TypeError, ValueError):
        return None
