"""What the keys of a model must hold, worked out from its hashes alone, and compared with what they do hold.

Independent of the library's writing: nothing here imports how mutations or scripts derive index entries. Only the
codecs are shared, which have tests of their own. What an overdue record left behind counts as swept.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from typing import Any

from redisom_lite import keys
from redisom_lite.schema.model_schema import FieldSpec, Kind, ModelSchema

Contents = dict[bytes, Any]


async def problems(db: Any, *models: Any) -> list[str]:
    """Every key whose contents are not what the stored hashes say, across the whole database."""
    actual, deadlines, now = await _read(db.redis)
    found: list[str] = []
    for model in models:
        schema = model.__redisom_schema__
        for number in [None] if schema.partitions == 1 else range(schema.partitions):
            base = keys.base(db.namespace, schema.prefix, schema.group, number)
            mine = {key[len(base) :]: actual.pop(key) for key in list(actual) if key.startswith(base + b":")}
            ends = {key[len(base) :]: end for key, end in deadlines.items() if key.startswith(base + b":")}
            found += _compare(schema, base, mine, ends, now)
    return found + [f"{key!r} belongs to no model" for key in actual]


async def check(db: Any, *models: Any) -> None:
    """Assert that every index of these models says what their records do, and that nothing else is stored."""
    for _ in range(3):
        found = await problems(db, *models)
        if not found:
            return
        await asyncio.sleep(0.002)  # a record may have expired between two reads
    raise AssertionError("\n".join(found))


async def _read(redis: Any) -> tuple[Contents, dict[bytes, int], int]:
    seconds, micros = await redis.time()
    now = seconds * 1000 + micros // 1000
    found = await redis.keys("*")
    kinds = await _at_once(redis, [("type", key) for key in found])
    reads = {key: _READ[kind](key) for key, kind in zip(found, kinds, strict=True) if kind in _READ}
    replies = await _at_once(redis, [*reads.values(), *(("pttl", key) for key in reads)])
    contents: Contents = {key: kind for key, kind in zip(found, kinds, strict=True) if kind not in _READ}
    contents = {key: kind for key, kind in contents.items() if kind != b"none"}  # it has just expired
    deadlines: dict[bytes, int] = {}
    for key, holds, left in zip(reads, replies[: len(reads)], replies[len(reads) :], strict=True):
        if holds:
            contents[key] = dict(holds) if isinstance(holds, list) else holds
            if left > 0:
                deadlines[key] = now + left
    return contents, deadlines, now


_READ: dict[bytes, Any] = {
    b"hash": lambda key: ("hgetall", key),
    b"set": lambda key: ("smembers", key),
    b"zset": lambda key: ("zrange", key, 0, -1, False, True),
}


async def _at_once(redis: Any, commands: list[tuple[Any, ...]]) -> list[Any]:
    async with redis.pipeline(transaction=False) as pipe:
        for name, *args in commands:
            getattr(pipe, name)(*args)
        return await pipe.execute()


def _compare(schema: ModelSchema, base: bytes, mine: Contents, ends: dict[bytes, int], now: int) -> list[str]:
    mine.pop(b":op", None)
    mine.pop(b":meta", None)
    _forget_overdue(schema, mine, now)
    expected, found = _expected(schema, mine, ends)
    for name in sorted(mine.keys() | expected.keys()):
        if name.startswith(b":r:"):
            continue
        there, due = mine.get(name, {}), expected.get(name, {})
        if name == b":due":
            wrong = there.keys() != due.keys() or any(abs(there[m] - due[m]) > 60_000 for m in due)
        else:
            wrong = there != due
        if wrong:
            found.append(f"{(base + name)!r}: is {_brief(there)}, should be {_brief(due)}")
    for name in ends:
        if not name.startswith(b":r:"):
            found.append(f"{(base + name)!r} has a lifetime")
    return found


def _forget_overdue(schema: ModelSchema, mine: Contents, now: int) -> None:
    overdue = {member for member, deadline in mine.get(b":due", {}).items() if deadline < now}
    if not overdue:
        return
    for name in list(mine):
        holds = mine[name]
        if name.startswith((b":t:", b":c:", b":k", b":due")):
            mine[name] = type(holds)(_without(holds, overdue))
        elif name.startswith(b":i:"):
            if schema.by_name[name[3:].decode()].kind is Kind.TEXT:
                gone = {entry for entry in holds if keys.split_text_member(entry)[1] in overdue}
                mine[name] = _without(holds, gone)
            else:
                mine[name] = _without(holds, overdue)
        elif name.startswith((b":x:", b":memo")):
            mine[name] = _without(holds, overdue)
        elif name.startswith(b":u:"):
            mine[name] = {token: owner for token, owner in holds.items() if owner not in overdue}
        elif name.startswith(b":r:"):
            member = _member_of_key(schema, name)
            if member in overdue:
                del mine[name]
                continue
        if not mine[name]:
            del mine[name]
    for name in [name for name in mine if name.startswith(b":v:")]:
        mine[name] = {
            token: text for token, text in mine[name].items() if b":t:" + name[3:] + b":" + token in mine
        }
        if not mine[name]:
            del mine[name]


def _without(holds: Any, gone: set[bytes]) -> Any:
    return {m: s for m, s in holds.items() if m not in gone} if isinstance(holds, dict) else holds - gone


def _member_of_key(schema: ModelSchema, name: bytes) -> bytes:
    text = keys.decode(name[3:])
    codec = schema.key.codec
    return codec.member(codec.decode(text))


def _expected(schema: ModelSchema, mine: Contents, ends: dict[bytes, int]) -> tuple[Contents, list[str]]:
    entries: dict[bytes, Any] = defaultdict(dict)
    problems: list[str] = []
    for name, stored in mine.items():
        if not name.startswith(b":r:"):
            continue
        member = _member_of_key(schema, name)
        entries[b":k"][member] = 0.0
        if name in ends:
            entries[b":due"][member] = ends[name]
        if name in ends or schema.evictable:
            entries[b":memo"][member] = stored[b"_ix"]
        tokens = _add_fields(schema, entries, member, stored)
        if _parsed(stored.get(b"_ix", b"")) != tokens:
            problems.append(f"{name!r}: _ix is {stored.get(b'_ix')!r}, should say {tokens}")
        problems += _shape_problems(schema, name, member, stored)
    return dict(entries), problems


def _shape_problems(schema: ModelSchema, name: bytes, member: bytes, stored: dict[bytes, bytes]) -> list[str]:
    found: list[str] = []
    nulls = stored.get(b"_null")
    if nulls is not None and (nulls == b"" or sorted(nulls.split(b",")) != nulls.split(b",")):
        found.append(f"{name!r}: _null is {nulls!r}")
    if nulls and any(null in stored for null in nulls.split(b",")):
        found.append(f"{name!r}: a field is both None and stored")
    key = stored.get(schema.key.name.encode())
    if key is None or schema.key.codec.member(schema.key.codec.decode(key)) != member:
        found.append(f"{name!r}: holds the record of another key")
    if schema.versioned != (b"_v" in stored):
        found.append(f"{name!r}: version {stored.get(b'_v')!r}")
    return found


def _add_fields(
    schema: ModelSchema, entries: dict[bytes, Any], member: bytes, stored: dict[bytes, bytes]
) -> dict[bytes, list[bytes]]:
    nulls = set(stored.get(b"_null", b"").split(b","))
    index: dict[bytes, list[bytes]] = {}
    scores: dict[str, float] = {}
    tags: dict[str, list[bytes]] = {}
    for spec in schema.fields:
        name = spec.name.encode()
        if spec.kind in (Kind.STORED, Kind.KEY):
            continue
        if name in nulls:
            tags[spec.name] = [b"%"]
            index[b"t" + name] = [b"%"]
            _add(entries, b":t:%b:%%" % name, member)
            continue
        if name not in stored:
            continue
        value = spec.codec.decode(stored[name])
        match spec.kind:
            case Kind.NUMBER:
                score = spec.codec.score(value)
                scores[spec.name] = score.number
                entries[b":i:" + name][member] = score.number
                if score.exact is not None:
                    entries[b":x:" + name][member] = score.exact
            case Kind.TEXT:
                entry = keys.text_member(spec.codec.lex(value), member)
                entries[b":i:" + name][entry] = 0.0
                index[b"l" + name] = [keys.escape_text(spec.codec.lex(value))]
            case Kind.UNIQUE:
                token = spec.codec.token(value)
                entries[b":u:" + name][token] = member
                index[b"u" + name] = [token]
            case _:
                found = _tokens(spec, value, stored[name])
                tags[spec.name] = list(found)
                if found:
                    index[b"t" + name] = sorted(found)
                for token, text in found.items():
                    _add(entries, b":t:%b:%b" % (name, token), member)
                    if token != b"%":
                        entries[b":v:" + name][token] = text
    for composite in schema.composites:
        if composite.range in scores:
            for token in tags.get(composite.tag, ()):
                key = b":c:%b:%b:%b" % (composite.tag.encode(), composite.range.encode(), token)
                entries[key][member] = scores[composite.range]
    return index


def _tokens(spec: FieldSpec, value: Any, text: bytes) -> dict[bytes, bytes]:
    if spec.member is None:
        return {spec.codec.token(value): text}
    return {
        b"%" if one is None else spec.member.token(one): b"" if one is None else spec.member.encode(one)
        for one in value
    }


def _add(entries: dict[bytes, Any], key: bytes, member: bytes) -> None:
    entries[key] = (entries[key] or set()) | {member}


def _parsed(index: bytes) -> dict[bytes, list[bytes]]:
    """`_ix`, read by other means than the library's."""
    found: dict[bytes, list[bytes]] = {}
    while index:
        name, _, index = index.partition(b"=")
        found[name] = []
        while not index.startswith(b";"):
            size = int(re.match(rb"(\d+):", index)[1])
            index = index.partition(b":")[2]
            found[name].append(index[:size])
            index = index[size:]
        found[name].sort()
        index = index[1:]
    return found


def _brief(holds: Any) -> str:
    text = repr(holds)
    return text if len(text) < 300 else f"{text[:300]}..."
