"""Some keys, and what can be done to their lifetimes. Nothing is remembered between two calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypeVar

from redisom_lite.engine import administration
from redisom_lite.engine.administration import unrefused
from redisom_lite.engine.node import Command
from redisom_lite.engine.scripts import load
from redisom_lite.engine.step import Change
from redisom_lite.engine.store import Store, store_of
from redisom_lite.errors import ConstraintError, QueryError
from redisom_lite.expiry.histogram import EDGES, Histogram, bucket_of, counted
from redisom_lite.expiry.recognition import Plain, Recognition, RecordKey, Refused
from redisom_lite.query import Query
from redisom_lite.schema import lifetime as lifetimes, mutations
from redisom_lite.schema.lifetime import Lifetime, milliseconds
from redisom_lite.schema.record import Record

M = TypeVar("M", bound=Record)

Progress: TypeAlias = Callable[[int, int | None], object]
Pages: TypeAlias = Callable[[], AsyncGenerator[list[bytes]]]

_PAGE: Final = 200
_SCANNED: Final = 500
_GONE: Final = -2
_ENDLESS: Final = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and what remains of its lifetime, to the millisecond; None when it has no end."""

    key: str
    remaining: timedelta | None


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did, or would do: keys `seen`, lifetimes `changed` (of which of `records`), `missing` keys.

    `refused` counts keys found by pattern that belong to models and must not have a lifetime: index keys, and
    records of models that this process has not declared. What needed no change is in none of the last three.
    """

    seen: int = 0
    changed: int = 0
    records: int = 0
    missing: int = 0
    refused: int = 0


class Selection:
    """Keys by name, by pattern or of a model's records. `async for entry in selection` gives those that exist."""

    def __init__(self, store: Store, pages: Pages, named: Sequence[bytes] | None = None) -> None:
        self._store = store
        self._pages = pages
        self._named = named

    def __aiter__(self) -> AsyncIterator[Entry]:
        return self._entries()

    async def _entries(self) -> AsyncGenerator[Entry]:
        async for found in self._pages():
            for key, left in zip(found, await self._remaining(found), strict=True):
                if left != _GONE:
                    remaining = None if left == _ENDLESS else timedelta(milliseconds=left)
                    yield Entry(key.decode("utf-8", "surrogateescape"), remaining)

    async def set(self, ttl: Lifetime, *, dry_run: bool = False, progress: Progress | None = None) -> Changed:
        """Let every key end in `ttl` from now (timedelta, seconds or "10m").

        `dry_run` changes nothing and tells what would be. `progress(seen, total)` is called after each page, `total`
        None where it is not known. A named key of a model's indexes: `QueryError`, before anything is changed.
        Redis: PTTL and PEXPIRE in one step of up to 200 keys; a record: the mapper's own step.
        """
        ms = milliseconds(ttl)
        return await self._change("set", ms, lifetimes.exactly(ms), dry_run, progress)

    async def extend(
        self, by: Lifetime, *, dry_run: bool = False, progress: Progress | None = None
    ) -> Changed:
        """Let every key live longer than it would; one without an end stays without. Arguments as `set`.

        A step whose answer is lost is not repeated: `BackendError` with outcome "unknown".
        """
        ms = milliseconds(by)
        return await self._change("extend", ms, lifetimes.longer(ms), dry_run, progress)

    async def persist(self, *, dry_run: bool = False, progress: Progress | None = None) -> Changed:
        """Take every key's end away. Arguments as `set`."""
        return await self._change("persist", 0, lifetimes.FOREVER, dry_run, progress)

    async def histogram(self) -> Histogram:
        """How many keys end when. Redis: PTTL of each."""
        buckets, endless = [0] * (len(EDGES) + 1), 0
        async for found in self._pages():
            for left in await self._remaining(found):
                if left == _ENDLESS:
                    endless += 1
                elif left != _GONE:
                    buckets[bucket_of(left)] += 1
        return counted(buckets, endless)

    async def _remaining(self, keys: Sequence[bytes]) -> list[int]:
        if not keys:
            return []
        commands = [(b"PTTL", key) for key in keys]
        return unrefused(await self._store.transport.commands(commands, retry=True))

    async def _change(
        self, operation: str, ms: int, lifetime: bytes, dry_run: bool, progress: Progress | None
    ) -> Changed:
        recognition, done = Recognition(self._store), Changed()
        for kind in await recognition.kinds(self._named or ()):
            if isinstance(kind, Refused):
                raise QueryError(f"one of the keys belongs to a model: {kind.cure}")
        total = None if self._named is None else len(self._named)
        handled = set[int]()  # SCAN may name a key twice, and twice extended is too long
        async for found in self._pages():
            fresh = [key for key in dict.fromkeys(found) if hash(key) not in handled]
            handled.update(map(hash, fresh))
            done = await self._change_page(recognition, fresh, operation, ms, lifetime, dry_run, done)
            if progress is not None:
                progress(done.seen, total)
        return done

    async def _change_page(
        self,
        recognition: Recognition,
        keys: Sequence[bytes],
        operation: str,
        ms: int,
        lifetime: bytes,
        dry_run: bool,
        done: Changed,
    ) -> Changed:
        plain: list[bytes] = []
        records: list[tuple[bytes, RecordKey]] = []
        refused = 0
        for key, kind in zip(keys, await recognition.kinds(keys), strict=True):
            match kind:
                case Plain():
                    plain.append(key)
                case RecordKey():
                    records.append((key, kind))
                case Refused():
                    refused += 1
        sent = "look" if dry_run else operation
        before = await self._plain(plain, sent, ms)
        touched = await (
            self._remaining([key for key, _ in records]) if dry_run else self._records(records, lifetime)
        )
        applicable = [left for left in touched if _applies(operation, left)]
        return replace(
            done,
            seen=done.seen + len(keys),
            changed=done.changed + len(applicable) + sum(_applies(operation, left) for left in before),
            records=done.records + len(applicable),
            missing=done.missing + (*before, *touched).count(_GONE),
            refused=done.refused + refused,
        )

    async def _plain(self, keys: Sequence[bytes], operation: str, ms: int) -> list[int]:
        if not keys:
            return []
        # on a cluster the keys lie in different slots, and one step reaches only one of them
        size = 1 if self._store.clustered else _PAGE
        script = load("lifetimes").text
        commands: list[Command] = [
            (b"EVAL", script, len(part), *part, operation, ms)
            for part in (keys[at : at + size] for at in range(0, len(keys), size))
        ]
        replies = unrefused(await self._store.transport.commands(commands, retry=operation != "extend"))
        return [left for reply in replies for left in reply]

    async def _records(self, records: Sequence[tuple[bytes, RecordKey]], lifetime: bytes) -> list[int]:
        """Change records' lifetimes by the mapper; what remained before, -2 for those that have gone meanwhile."""
        left = await self._remaining([key for key, _ in records])
        steps: dict[bytes, list[int]] = {}
        for position, (_, record) in enumerate(records):
            base = record.keyspace.bases[record.keyspace.partition(record.member)]
            steps.setdefault(base, []).append(position)
        for positions in steps.values():
            changes: list[Change] = [
                (records[n][1].keyspace, mutations.live(records[n][1].member, lifetime)) for n in positions
            ]
            applied = await self._store.backend.writer.apply(changes, each=True)
            for each in applied.failures:
                left[positions[each.position]] = _GONE
        return left


def _applies(operation: str, left: int) -> bool:
    """Whether an operation changes a key with so much left."""
    return left >= 0 or (left == _ENDLESS and operation == "set")


def keys(db: Store, *names: str | bytes) -> Selection:
    """Keys by their whole names."""
    found = [name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name for name in names]

    async def pages() -> AsyncGenerator[list[bytes]]:
        for at in range(0, len(found), _PAGE):
            yield found[at : at + _PAGE]

    return Selection(db, pages, found)


def matching(db: Store, pattern: str, *, rate: float | None = 50_000) -> Selection:
    """Keys that match a glob pattern (`*`, `?`, `[a-z]`, backslash), at most about `rate` keys examined a second.

    Redis: SCAN of the whole keyspace, page by page, never KEYS. Keys that exist all the while are found; those made or
    deleted meanwhile may or may not be.
    """
    if rate is not None and not rate > 0:
        raise ConstraintError("matching(rate=...) is keys a second, above 0, or None for no bound")

    async def pages() -> AsyncGenerator[list[bytes]]:
        now = asyncio.get_running_loop().time
        for place in await administration.places(db):
            begin, examined = now(), 0
            async for found in administration.scan(db, place, pattern.encode(), _SCANNED):
                for at in range(0, len(found), _PAGE):
                    yield found[at : at + _PAGE]
                examined += _SCANNED
                if rate is not None and (ahead := examined / rate - (now() - begin)) > 0:
                    await asyncio.sleep(ahead)

    return Selection(db, pages)


def records(what: type[M] | Query[M]) -> Selection:
    """The records of a model or a query, as their keys were when the pass began."""
    model = what.model if isinstance(what, Query) else what
    store = store_of(model)
    keyspace = store.keyspace(model.__redisom_schema__)
    query: Query[Any] = what if isinstance(what, Query) else getattr(what, "objects").find()  # noqa: B009 - a model's

    async def pages() -> AsyncGenerator[list[bytes]]:
        member = keyspace.schema.key.codec.member
        found = [keyspace.record_key(member(pk)) for pk in await query.pks()]
        for at in range(0, len(found), _PAGE):
            yield found[at : at + _PAGE]

    return Selection(store, pages)
