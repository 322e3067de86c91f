"""What cached answers depend on: models, conditions and queries, and the watches that stand for them on the server.

A watch is set at a model before a load, and its mark kept with the answer. The write script takes away the watches that
a step concerns (cache_drop.lua); an answer whose marks are not all there any more is outdated, whoever wrote. Records
that expire are no write: where some have expired since the load and nothing swept them yet, they are swept first, which
takes away the watches they concern like any other step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from typing import Any, Final, TypeAlias

from redisom_lite.codec import NONE_TOKEN
from redisom_lite.engine.declare import declare, waiting
from redisom_lite.engine.node import Arg
from redisom_lite.engine.scripts import load
from redisom_lite.engine.store import Store, store_of
from redisom_lite.errors import BackendError, DeclarationError, RedisomError
from redisom_lite.plan.expression import And, Condition, HasToken, IsNone, LexRange, Not, Or, TextIn
from redisom_lite.plan.normalize import NEVER, normalize
from redisom_lite.plan.program import program
from redisom_lite.query import Query, check_condition
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import DEADLINE, FieldSpec, Kind
from redisom_lite.schema.record import Record

Dependency: TypeAlias = type[Record] | Condition | Query[Any]
"""A model, a condition on one, or a query (its order and limit do not count)."""
Dependencies: TypeAlias = Dependency | Iterable[Dependency]
Depends: TypeAlias = Dependencies | Callable[..., Dependencies]
"""What the answers of a function depend on, or a function of its arguments that tells."""

MOST: Final = 64
"""Conditions watched per model; answers that come later depend on the whole model."""
_LARGEST: Final = 4096  # bytes of a program; a larger one is not worth its time at every write
_ASKED_OF_RECORDS: Final = 24  # tokens from which match.lua asks the record
_MARGIN: Final = 600_000  # ms a load may take before its watches may end
_SWEPT: Final = 200
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Watch:
    """A condition as the server keeps it; `indexes` must be ready for it to be judged."""

    digest: bytes
    kind: bytes
    program: bytes
    indexes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """One partition of a model: what a loader watches there, and whose marks a reader asks for (digests)."""

    store: Store
    keyspace: Keyspace
    partition: int
    watches: tuple[Watch, ...] = ()
    asked: tuple[bytes, ...] = ()

    @property
    def base(self) -> bytes:
        return self.keyspace.bases[self.partition]

    @property
    def registry(self) -> bytes:
        return self.keyspace.registry(self.partition)

    def words(self) -> tuple[Arg, ...]:
        """What cache_read.lua is told of it."""
        return (self.base, self.keyspace.fingerprint, len(self.asked), *self.asked)


@dataclass(frozen=True, slots=True)
class Depending:
    """A model, and a watch on it."""

    model: type[Record]
    watch: Watch


@dataclass(frozen=True, slots=True)
class Mark:
    """A watch that an entry was loaded under, and the indexes it is judged by; `since` is ms."""

    base: bytes
    digest: bytes
    mark: bytes
    since: int
    indexes: tuple[str, ...]

    @classmethod
    def of(cls, field: bytes, value: bytes) -> Mark:
        """Read a field of an entry: `d:digest base`, `mark since index,...`."""
        digest, base = field[2:].split(b" ", 1)
        mark, since, indexes = value.split(b" ")
        return cls(base, digest, mark, int(since), tuple(indexes.decode().split(",")) if indexes else ())


@dataclass(frozen=True, slots=True)
class Standing:
    """What cache_read.lua says of a place: the state of its indexes, its newest overdue deadline (ms), the marks."""

    state: bytes | None
    overdue: int
    marks: Mapping[bytes, bytes]

    @classmethod
    def of(cls, place: Place, reply: Sequence[Any]) -> Standing:
        state, overdue, *marks = reply
        return cls(state, _milliseconds(overdue), dict(zip(place.asked, marks, strict=True)))

    def holds(self, mark: Mark) -> bool:
        """Whether nothing has happened that a watch concerns, expiry aside."""
        if self.marks.get(mark.digest) != mark.mark:
            return False
        return not mark.indexes or (self.state is not None and not waiting(self.state, mark.indexes))


def _milliseconds(score: bytes) -> int:
    return int(float(score)) if score else -1


def depending(given: object) -> tuple[Depending, ...]:
    """Check what answers are said to depend on; `DeclarationError` for what they cannot."""
    listed: Any = [given] if isinstance(given, Condition | Query | type) else given
    try:
        return tuple(found for each in listed for found in _depending(each))
    except TypeError:
        raise _refusal(listed) from None


def _refusal(given: object) -> DeclarationError:
    return DeclarationError(
        f"depends_on: {type(given).__name__} is nothing to depend on: give models, conditions or queries, "
        'as in depends_on=[Product] or [Product.category == "tea"]'
    )


def _depending(each: object) -> Iterator[Depending]:
    match each:
        case type() if issubclass(each, Record):
            if not getattr(each, "__redisom_schema__", None):
                raise DeclarationError(f"depends_on: {each.__name__} is abstract: give a model with records")
            yield Depending(each, EVERYTHING)
        case Query():
            model: type[Record] = each.model
            yield Depending(model, _watch(And(each.selection.where)))
        case Condition() if normalize(each) == (NEVER,):
            return  # an empty in_([]), which names no model: no write concerns it
        case Condition():
            yield Depending(_model_of(each), _watch(each))
        case _:
            raise _refusal(each)


def _watch(condition: Condition) -> Watch:
    clauses = normalize(condition)
    leaves = [leaf for clause in clauses for leaf in _leaves(clause)]
    if any(_field(leaf).name == DEADLINE for leaf in leaves):
        raise DeclarationError(
            "depends_on: what expires soon changes with the time, not only with writes: depend on the model, "
            "and give a short ttl"
        )
    words = program(clauses[0] if len(clauses) == 1 else And(clauses))
    packed = b"".join(b"%d:%b" % (len(word), word) for word in words)
    if len(packed) > _LARGEST:
        return EVERYTHING
    indexes = {_field(leaf).word for leaf in leaves if _field(leaf).kind is not Kind.KEY}
    kind = (b"r" if any(map(_reads_records, leaves)) else b"i") + _tokens(clauses)
    return Watch(
        sha1(packed, usedforsecurity=False).hexdigest()[:20].encode(), kind, packed, tuple(sorted(indexes))
    )


def _tokens(clauses: Iterable[Condition]) -> bytes:
    """Tokens of which a record has one or does not satisfy the clauses, as cache_watches.lua reads them."""
    for clause in clauses:
        match clause:
            case HasToken(_, tokens) if len(tokens) <= _ASKED_OF_RECORDS:
                return b"".join(b"%d:%b" % (len(token), token) for token in tokens)
            case IsNone():
                return b"%d:%b" % (len(NONE_TOKEN), NONE_TOKEN)
            case _:
                continue
    return b""


def _leaves(condition: Condition) -> Iterator[Condition]:
    match condition:
        case And(items) | Or(items):
            for item in items:
                yield from _leaves(item)
        case Not(item):
            yield from _leaves(item)
        case _:
            yield condition


def _field(leaf: Condition) -> FieldSpec:
    found: Any = leaf  # every leaf has one
    spec: FieldSpec = found.field
    return spec


def _reads_records(leaf: Condition) -> bool:
    match leaf:
        case LexRange() | TextIn():
            return True
        case HasToken(field, tokens):
            return field.kind is not Kind.UNIQUE and len(tokens) > _ASKED_OF_RECORDS
        case _:
            return False


EVERYTHING: Final = _watch(And(()))
"""The watch that every write of a model concerns."""


def _model_of(condition: Condition) -> type[Record]:
    fields = {_field(leaf) for leaf in _leaves(condition)}
    if not fields:
        raise DeclarationError("depends_on: this condition names no column: give the model")
    model = _declaring(next(iter(fields)))
    check_condition(model.__redisom_schema__, condition)
    return model


@cache
def _declaring(field: FieldSpec) -> type[Record]:
    """The model that a column belongs to."""
    models = list(Record.__subclasses__())
    while models:
        model = models.pop()
        models += model.__subclasses__()
        schema = getattr(model, "__redisom_schema__", None)
        if schema and schema.by_name.get(field.name) is field:
            return model
    raise DeclarationError(f"depends_on: {field!r} is a column of a model that is gone: declare it anew")


def places(depends: Iterable[Depending]) -> dict[bytes, Place]:
    """Where the watches are, by base; `NotBoundError` for a model without a database."""
    by_model: dict[type[Record], dict[Watch, None]] = {}
    for each in depends:
        by_model.setdefault(each.model, {})[each.watch] = None
    found: dict[bytes, Place] = {}
    for model, watches in by_model.items():
        store = store_of(model)
        keyspace = store.keyspace(model.__redisom_schema__)
        for partition, base in enumerate(keyspace.bases):
            digests = (*(watch.digest for watch in watches), EVERYTHING.digest)
            found[base] = Place(store, keyspace, partition, tuple(watches), digests)
    return found


async def watch(found: Iterable[Place], mark: bytes, lifetime_ms: int) -> dict[bytes, bytes]:
    """Set the watches that are not set; base and digest -> mark and time, as an entry keeps them."""
    marks: dict[bytes, bytes] = {}
    for place in found:
        marks |= await _watch_place(place, mark, lifetime_ms + _MARGIN)
    return marks


async def _watch_place(place: Place, mark: bytes, lifetime_ms: int) -> dict[bytes, bytes]:
    watches, swept = place.watches, False
    for _ in range(2 * _TRIES):
        reply = await _set(place, watches, mark, lifetime_ms)
        if reply[0] is None:
            await declare(place.store.transport, place.keyspace, place.partition, writer=False)
            continue
        if reply[1] and not swept:
            swept = True
            await sweep(place)  # their end would count as a change after the load
            continue
        state, _, now, *marks = reply
        judged = not waiting(state or b"", {name.decode() for watch in watches for name in watch.indexes})
        if state is not None and judged and all(marks):
            return {
                b"d:%b %b" % (watch.digest, place.base): b"%b %b %b" % (found, now, b",".join(watch.indexes))
                for watch, found in zip(watches, marks, strict=True)
            }
        if watches == (EVERYTHING,):
            break
        watches = (EVERYTHING,)
    raise BackendError(
        f"{place.keyspace.schema.model}: its declaration changes faster than it can be watched"
    )


async def sweep(place: Place) -> None:
    """Clean up some of what has expired at a place, which takes away the watches it concerns."""
    await place.store.backend.writer.sweep(place.keyspace, place.partition, _SWEPT)


async def forget(found: Iterable[Place]) -> None:
    """Take away every watch of these places, as a write that concerns them all would."""
    for place in found:
        command = (b"HDEL", place.base + b":meta", b"caches")
        (reply,) = await place.store.transport.commands([command], retry=True)
        if isinstance(reply, RedisomError):
            raise reply


async def _set(place: Place, watches: Sequence[Watch], mark: bytes, lifetime_ms: int) -> Any:
    words: list[Arg] = [place.base, place.keyspace.fingerprint, mark, lifetime_ms]
    words += (MOST + (watches == (EVERYTHING,)), len(watches))
    for each in watches:
        words += (each.digest, each.kind, each.program)
    return await place.store.transport.call(load("cache_watch"), [place.registry], words)
