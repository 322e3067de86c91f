"""Entries: the answers of one cache on the server, the locks of those being loaded, the marks of tags, the counts.

    {prefix}.cache:e:<key>    hash: the answer, what it depends on, until when it is fresh; it expires after the grace
    {prefix}.cache:l:<key>    the lock: who loads it, with a lifetime
    {prefix}.cache:t:<tag>    a mark; an entry that was stored with another is not served again
    {prefix}.cache:counts     hash: hits, misses and the like

The tag without a name is every entry's. The server's clock decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

from redisom_lite import keys
from redisom_lite.cache.dependencies import Mark, Place, Standing, sweep
from redisom_lite.codec.base import key_safe
from redisom_lite.engine.background import together
from redisom_lite.engine.node import Arg
from redisom_lite.engine.scripts import load
from redisom_lite.engine.store import Store
from redisom_lite.errors import BackendError, RedisomError

_TRIES: Final = 5
_MARGIN: Final = 600_000  # ms a load may take before the marks of its tags may end

VALUE: Final = b"v"
NONE: Final = b"n"
NOT_FOUND: Final = b"x"


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored answer: `kind` says what it is, `text` is a value's. Times in ms."""

    id: bytes
    kind: bytes
    text: bytes
    until: int
    ttl: int
    took: int
    """How long the load took."""
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader saw: an entry or none, at which time (the server's, ms), and whether it may be served.

    `untouched`: not invalidated by a tag; `valid`: nothing it depends on has changed either; `fresh`: and its lifetime
    has not ended.
    """

    entry: Entry | None = None
    now: int = 0
    untouched: bool = False
    valid: bool = False

    @property
    def fresh(self) -> bool:
        return self.entry is not None and self.valid and self.now < self.entry.until

    @property
    def age(self) -> int:
        """How long ago it was stored, ms."""
        return 0 if self.entry is None else max(0, self.now - self.entry.until + self.entry.ttl)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long an entry is fresh, and how long after that it may stand in for a loader that fails; ms."""

    fresh: int
    grace: int

    @property
    def whole(self) -> int:
        return self.fresh + self.grace


class Entries:
    """The keys of one cache."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store = store
        self._stem = keys.hash_tag(store.namespace, prefix) + b".cache:"
        self._tag_stem = self._stem + b"t:"
        self._numbers = count()
        self._process = (0, b"")

    def token(self) -> bytes:
        """A name for a load, never used before by any process."""
        pid, name = self._process
        if pid != os.getpid():
            name = os.urandom(8).hex().encode()
            self._process = (os.getpid(), name)
        return b"%b-%x" % (name, next(self._numbers))

    def key(self, key: str) -> bytes:
        """Where an entry is."""
        return self._stem + b"e:" + key_safe(key.encode())

    def _lock(self, key: str) -> bytes:
        return self._stem + b"l:" + key_safe(key.encode())

    @property
    def _counts(self) -> bytes:
        return self._stem + b"counts"

    def _marks(self, tags: Iterable[bytes]) -> list[bytes]:
        return [self._tag_stem + tag for tag in tags]

    # Reading.

    async def read(self, key: str, places: Mapping[bytes, Place]) -> Seen:
        """An entry, judged. One round trip; more where records it depends on have expired unswept."""
        seen = Seen()
        for _ in range(_TRIES):
            reply = await self._ask(key, places)
            now, flat, untouched, *_ = reply[0]
            if not flat:
                return Seen(now=int(now))
            entry = _entry(flat)
            standings = self._standings(places, reply)
            behind = [
                places[mark.base]
                for mark in entry.marks
                if mark.base in standings and standings[mark.base].overdue >= mark.since
            ]
            seen = Seen(entry, int(now), bool(untouched))
            if not behind or not untouched:
                valid = untouched and all(_holds(mark, standings) for mark in entry.marks)
                return replace(seen, valid=bool(valid))
            try:
                for place in behind:
                    await sweep(place)
            except BackendError:  # a replica, or a user who may only read: nobody can tell
                break
        return seen

    async def _ask(self, key: str, places: Mapping[bytes, Place]) -> list[Any]:
        """The script's replies: that of the entry first, with the places of its store where one step reaches all."""
        script, entry = load("cache_read"), self.key(key)
        own, far = self._split(places)
        keys_ = [entry, *(place.registry for place in own)]
        words: list[Arg] = [self._tag_stem, len(own), *(word for place in own for word in place.words())]
        first = self.store.transport.call(script, keys_, words)
        if not far:
            return [await first]
        others = (
            place.store.transport.call(script, [place.registry], [b"", 1, *place.words()]) for place in far
        )
        return await together([first, *others])

    def _standings(self, places: Mapping[bytes, Place], replies: Sequence[Any]) -> dict[bytes, Standing]:
        own, far = self._split(places)
        told = [*replies[0][3:], *(reply[3] for reply in replies[1:])]
        return {place.base: Standing.of(place, each) for place, each in zip([*own, *far], told, strict=True)}

    def _split(self, places: Mapping[bytes, Place]) -> tuple[list[Place], list[Place]]:
        """The places that one step reaches together with an entry, and the others."""
        near = not self.store.clustered
        own = [place for place in places.values() if near and place.store is self.store]
        return own, [place for place in places.values() if not (near and place.store is self.store)]

    # Loading.

    async def lock(
        self, key: str, token: bytes, lock_ms: int, tags: Sequence[bytes], whole_ms: int
    ) -> tuple[bytes, dict[bytes, bytes]] | int:
        """Become the loader: the id of the entry there is, and the marks of the tags; else ms until the lock ends."""
        reply = await self.store.transport.call(
            load("cache_lock"),
            [self._lock(key), self.key(key), *self._marks(tags)],
            [token, lock_ms, whole_ms + _MARGIN],
        )
        if reply[0] == 0:
            return int(reply[1])
        return reply[1], {b"t:" + tag: mark for tag, mark in zip(tags, reply[2:], strict=True)}

    async def keep(self, key: str, token: bytes, lock_ms: int) -> bool:
        """Keep the lock this much longer, or with 0 give it back; False: another has it, or none."""
        keys_ = [self._lock(key)]
        return bool(await self.store.transport.call(load("cache_lease"), keys_, [token, lock_ms]))

    async def store_entry(
        self,
        key: str,
        token: bytes,
        fields: Mapping[bytes, Arg],
        lifetimes: Lifetimes,
        tags: Sequence[bytes],
        counts: Mapping[bytes, int],
    ) -> bool:
        """Store an entry and give its lock back; False: the lock was lost. Without a token, in any case."""
        words: list[Arg] = [token, lifetimes.fresh, lifetimes.grace, lifetimes.whole, *tags]
        words += (len(fields), *(word for pair in fields.items() for word in pair))
        words += (len(counts), *(word for pair in counts.items() for word in pair))
        keys_ = [self._lock(key), self.key(key), self._counts, *self._marks(tags)]
        return bool(await self.store.transport.call(load("cache_store"), keys_, words))

    # Invalidating.

    async def delete(self, key: str) -> bool:
        """Delete an entry and refuse what is being loaded for it."""
        _, deleted = await self._send([(b"DEL", self._lock(key)), (b"DEL", self.key(key))], retry=True)
        return bool(deleted)

    async def touch(self, tags: Iterable[bytes]) -> None:
        """Outdate every entry with one of these tags, those being loaded too."""
        await self._send([(b"DEL", mark) for mark in self._marks(tags)], retry=True)

    # Counts.

    async def add_counts(self, counts: Mapping[bytes, int]) -> dict[bytes, int]:
        """Add, and return all."""
        adding = [(b"HINCRBY", self._counts, name, b"%d" % n) for name, n in counts.items()]
        *_, flat = await self._send([*adding, (b"HGETALL", self._counts)], retry=not adding)
        return {name: int(n) for name, n in zip(flat[::2], flat[1::2], strict=True)}

    async def _send(self, commands: Sequence[tuple[bytes, ...]], *, retry: bool) -> list[Any]:
        replies = await self.store.transport.commands(commands, retry=retry)
        for reply in replies:
            if isinstance(reply, RedisomError):
                raise reply
        return replies


def _entry(flat: Sequence[bytes]) -> Entry:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    marks = tuple(Mark.of(name, value) for name, value in fields.items() if name.startswith(b"d:"))
    return Entry(
        fields[b"id"],
        fields[b"kind"],
        fields.get(b"text", b""),
        int(fields[b"until"]),
        int(fields[b"ttl"]),
        int(fields[b"took"]),
        marks,
    )


def _holds(mark: Mark, standings: Mapping[bytes, Standing]) -> bool:
    standing = standings.get(mark.base)
    return standing is not None and standing.holds(mark)
