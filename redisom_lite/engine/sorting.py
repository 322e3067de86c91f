"""Orders that no single index gives: sort keys first, sorted on this side, then the records wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeVar

from redisom_lite.engine.finding import Row, Trace
from redisom_lite.engine.loading import FETCHED
from redisom_lite.engine.reading import Found, Reading
from redisom_lite.engine.search import Search
from redisom_lite.engine.sifting import Sifter
from redisom_lite.plan.ordering import After, Entry, columns, following, position, score_key, sort, text_key
from redisom_lite.plan.prepared import Prepared
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import FieldSpec

T = TypeVar("T")

_TRIES: Final = 5


class Sorter(Sifter):
    """Lists what a plan selects by the keys of its order."""

    async def members(self, keyspace: Keyspace, query: Prepared, trace: Trace | None = None) -> list[bytes]:
        """The keys of the records a plan selects, in its order; limit and offset applied. Reads no record."""
        limit, offset = query.selection.limit, query.selection.offset
        if query.statement.impossible or limit == 0:
            return []
        reading = Reading(keyspace, query, trace=trace)
        found = await self._candidates(reading, None if limit is None else limit + offset, None, verify=True)
        return [entry.member for entry in found[offset : None if limit is None else offset + limit]]

    async def _sorted(
        self, reading: Reading, limit: int, offset: int, after: After | None, stream: int | None
    ) -> list[Found]:
        """Sort keys first, then the records wanted; those that have moved or gone meanwhile are passed over."""
        lost, taken = 0, list[Found]()
        wanted = columns(reading.query.selection.order)
        read = self._read_all if reading.mode == b"few" else self.fetch
        for _ in range(_TRIES):
            candidates = await self._candidates(reading, limit + offset + lost, after, stream=stream)
            taken = list[Found]()
            seen, at = 0, offset
            while len(taken) < limit and at < len(candidates):
                part = candidates[at : at + min(FETCHED, limit - len(taken))]
                found = dict(await read(reading, [entry.member for entry in part]))
                taken += [
                    (entry.member, found[entry.member])
                    for entry in part
                    if entry.member in found and _still(entry, keys_of(wanted, found[entry.member]))
                ]
                seen += len(part)
                at += len(part)
            if len(taken) == limit or len(taken) == seen:
                break
            lost += seen - len(taken)
        return taken

    async def _candidates(
        self,
        reading: Reading,
        needed: int | None,
        after: After | None,
        *,
        verify: bool = False,
        stream: int | None = None,
    ) -> list[Entry]:
        """Entries in order; with `needed`, at least that many of the first if there are so many."""
        order = reading.query.selection.order
        if after is not None and after.texts and after.texts[0] is None and columns(order[:1]):
            reading, after = reading.behind(after)
            return _without_first(await self._candidates(reading, needed, after, verify=verify))
        asked = needed
        while True:

            async def one(partition: int) -> list[_Keys]:
                return [
                    await self._keys(part, partition, asked, after, verify=verify, stream=stream)  # noqa: B023
                    for part in reading.slices(partition)
                ]

            parts = [part for each in await on_partitions(reading.keyspace, one) for part in each]
            tail = needed is not None and any(part.tail for part in parts)
            listed = [following(part.entries(tail=tail), order, after) for part in parts]
            ordered = [entry for entry, _ in sort((pair for pairs in listed for pair in pairs), order)]
            if len(parts) > 1:  # a record may be in two slices
                ordered = list({entry.member: entry for entry in ordered}.values())
            if needed is None or asked is None:
                return ordered
            # every partition, and every slice, must have given as many as could be first of all
            if all(part.complete or len(pairs) >= needed for part, pairs in zip(parts, listed, strict=True)):
                break
            asked *= 2  # the end of the last page lies within a large tie, or many were gone
        if len(ordered) < needed and tail:
            left = await self._candidates(reading.rest(), needed - len(ordered), None, verify=verify)
            ordered += _without_first(left)
        return ordered

    async def _keys(
        self,
        reading: Reading,
        partition: int,
        needed: int | None,
        after: After | None,
        *,
        verify: bool,
        stream: int | None,
    ) -> _Keys:
        """One partition's sort keys by member.

        A limited walk stops at the limit, but never between records that its first column does not tell apart.
        """
        query, keyspace = reading.query, reading.keyspace
        wanted = columns(query.selection.order)
        found: dict[bytes, tuple[Any, ...]] = {}
        start = position(query.statement.primary, after, whole_tie=True) if needed is not None else None
        search = Search(
            keyspace,
            partition,
            query,
            mode=b"keys",
            limit=needed or 0,
            after=start,
            wanted=wanted,
            ties=bool(wanted),
            verify=verify,
            stream=stream,
        )
        tail, complete, width = 0, True, len(wanted)
        async for reply in self._finder.run(search, reading.trace):
            tail = reply.head.tail
            complete = reply.head.strategy == b"S" or reply.head.found < search.limit
            gone = await self._gone(keyspace, reply.doubtful)
            for n, member in enumerate(reply.members):
                if member not in gone:
                    keys = reply.keys[n * width : (n + 1) * width]
                    found[member] = tuple(
                        score_key(spec, key) for spec, key in zip(wanted, keys, strict=True)
                    )
            if needed is not None:
                search.limit = max(1, needed - len(found))
        return _Keys(found, tail, complete)


@dataclass(frozen=True, slots=True)
class _Keys:
    """Sort keys by member; whether there are records without a value besides; whether these are all the others."""

    found: dict[bytes, tuple[Any, ...]]
    tail: int
    complete: bool

    def entries(self, *, tail: bool) -> list[tuple[Entry, None]]:
        """As entries to sort; without those that the second phase of the order (`tail`) will list."""
        return [
            (Entry(member, keys), None)
            for member, keys in self.found.items()
            if not (tail and keys and keys[0] is None)
        ]


def _without_first(entries: list[Entry]) -> list[Entry]:
    """Entries of the second phase as the whole order sees them: the value of its first column is None."""
    return [Entry(entry.member, (None, *entry.keys)) for entry in entries]


def keys_of(wanted: Sequence[FieldSpec], row: Row) -> tuple[Any, ...]:
    return tuple(text_key(spec, row[spec.position]) for spec in wanted)


def _still(entry: Entry, keys: tuple[Any, ...]) -> bool:
    """Whether a record is where it was; an entry from the rest of an order has no keys for columns that are None."""
    absent = len(keys) - len(entry.keys)
    return keys[absent:] == entry.keys and all(key is None for key in keys[:absent])


def in_order(
    query: Prepared, found: Mapping[bytes, T], keys: Mapping[bytes, tuple[Any, ...]], after: After | None
) -> list[tuple[bytes, T]]:
    """What was found, by member, in the order of a query; `keys`: sort keys, where the order has columns."""
    order = query.selection.order
    if not columns(order) and after is None:
        return sorted(found.items(), key=itemgetter(0), reverse=bool(order) and order[0].descending)
    pairs = [(Entry(member, keys.get(member, ())), (member, one)) for member, one in found.items()]
    return [record for _, record in following(pairs, order, after)]


async def on_partitions(keyspace: Keyspace, work: Callable[[int], Coroutine[Any, Any, T]]) -> list[T]:
    """The work on every partition, at once; the first failure is raised when all have ended."""
    if len(keyspace.bases) == 1:
        return [await work(0)]
    parts = await asyncio.gather(
        *(work(number) for number in range(len(keyspace.bases))), return_exceptions=True
    )
    done: list[T] = []
    for part in parts:
        if isinstance(part, BaseException):
            raise part
        done.append(part)
    return done
