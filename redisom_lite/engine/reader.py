"""The one way to read: records by key, and plans through find.lua.

What leaves here are *found* records, (member, row) pairs: a member is the primary key's sort form, a row the stored
texts in the order of `Keyspace.names`, None for what is not stored. Turning rows into objects is `hydrate.py`'s.

Records that an index lists and the server does not have (evicted, deleted by other programs, or their slot is moving)
are asked for once more by their own key, left out if they are gone, and noted in `missing` for a cleaning step.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final, TypeVar

from redisom_lite.engine.finding import Budget, Decision, Finder, KeysNeededError, Reply, Row, Search, Trace
from redisom_lite.engine.node import Arg
from redisom_lite.engine.resp import OnEachKey
from redisom_lite.engine.scripts import load
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import RedisomError
from redisom_lite.keys import text_member
from redisom_lite.plan.expression import KeyIn
from redisom_lite.plan.matching import UnclearError, fields_of, test_of
from redisom_lite.plan.ordering import (
    After,
    Entry,
    columns,
    following,
    position,
    rest,
    score_key,
    sort,
    text_key,
)
from redisom_lite.plan.planner import LOADED, Path
from redisom_lite.plan.prepared import Prepared, prepare
from redisom_lite.plan.program import leaf
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import FieldSpec, Kind

T = TypeVar("T")

Found = tuple[bytes, Row]

Early = Callable[[Iterable[Found]], None]

FETCHED: Final = 500
"""Records asked for by key in one go."""
_TRIES: Final = 5
_LISTED: Final = 2000


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read of the records a plan finds: the hash fields (None: all of a row), and where to note the cost."""

    keyspace: Keyspace
    query: Prepared
    names: tuple[bytes, ...] | None = None
    trace: Trace | None = None

    def behind(self, after: After) -> tuple[Reading, After]:
        """What comes after a record whose first order column is None: just those, in what order is left."""
        texts = after.texts[1:] if len(after.texts) > 1 else ()
        return self.rest(), After(after.member, texts)

    def rest(self) -> Reading:
        return replace(self, query=prepare(rest(self.query.selection)))

    @property
    def hash_fields(self) -> tuple[bytes, ...]:
        return self.keyspace.names if self.names is None else self.names

    @property
    def mode(self) -> bytes:
        """How find.lua gives rows: all of them where the deadline is asked for, which no row tells."""
        return b"rows" if self.query.statement.timed else b"few"

    @property
    def names_to_test(self) -> tuple[bytes, ...]:
        """The hash fields to read, with those that the conditions are about."""
        if self.names is None:
            return self.keyspace.names
        tested = (field.word for clause in self.query.clauses for field in fields_of(clause))
        return tuple(dict.fromkeys((*self.names, *tested)))

    def whole_rows(self, rows: list[Row]) -> list[Row]:
        """Rows of all fields, None for those not read."""
        return self.widened(rows, self.hash_fields)

    def widened(self, rows: list[Row], names: tuple[bytes, ...]) -> list[Row]:
        """Rows of these hash fields as rows of all fields."""
        if names == self.keyspace.names:
            return rows
        places = [self.keyspace.names.index(name) for name in names]
        width = len(self.keyspace.names)
        wide: list[Row] = []
        for row in rows:
            full: Row = [None] * width
            for place, text in zip(places, row, strict=False):
                full[place] = text
            wide.append(full + row[len(places) :])  # a deadline travels behind the row
        return wide


class Reader:
    """Reads for one database. `overdue` and `missing` collect what a write should clean up."""

    def __init__(self, transport: Callable[[], Transport]) -> None:
        self._transport = transport
        self.budget = Budget()
        self._finder = Finder(transport, self.budget)
        self.overdue: set[tuple[Keyspace, int]] = set()
        self.missing: set[tuple[Keyspace, bytes]] = set()

    # By key.

    async def one(self, keyspace: Keyspace, member: bytes) -> Row | None:
        """The row of the record with this key; None where there is none. Redis: HMGET."""
        command = (b"HMGET", keyspace.record_key(member), *keyspace.names)
        (row,) = await self._transport().commands((command,), retry=True)
        if isinstance(row, RedisomError):
            raise row
        return keyspace.whole(member, row)

    async def load(self, keyspace: Keyspace, members: Sequence[bytes]) -> list[Row | None]:
        """Rows of the records with these keys, in order, None where there is none. Redis: HMGET each."""
        if len(members) <= LOADED:
            return await self._load(keyspace, members)
        return [row async for part in self.parts(keyspace, members) for row in part]

    async def parts(self, keyspace: Keyspace, members: Sequence[bytes]) -> AsyncGenerator[list[Row | None]]:
        """As `load`, part by part; the next is under way while this side works on the last."""
        ahead: asyncio.Task[list[Row | None]] | None = None
        try:
            for first in range(0, len(members), LOADED):
                part = asyncio.create_task(self._load(keyspace, members[first : first + LOADED]))
                await asyncio.sleep(0)  # let it be sent
                last, ahead = ahead, part
                if last is not None:
                    yield await last
            if ahead is not None:
                yield await ahead
        finally:
            if ahead is not None and not ahead.done():
                ahead.cancel()

    async def _load(self, keyspace: Keyspace, members: Sequence[bytes]) -> list[Row | None]:
        commands = OnEachKey(b"HMGET", keyspace.record_keys(members), keyspace.names)
        replies = _unrefused(await self._transport().commands(commands, retry=True))
        return [keyspace.whole(member, row) for member, row in zip(members, replies, strict=True)]

    async def load_sliding(
        self, keyspace: Keyspace, members: Sequence[bytes], ttl_ms: int
    ) -> list[Row | None]:
        """As `load`, and give each record found a lifetime of `ttl_ms` from now, in the same step."""
        rows: dict[bytes, Row | None] = {}
        for partition, group in _by_partition(keyspace, members).items():
            for first in range(0, len(group), FETCHED):
                part = group[first : first + FETCHED]
                keys = keyspace.record_keys(part)
                args: list[Arg] = [keyspace.bases[partition], ttl_ms, *part, *keyspace.names]
                reply = await self._transport().call(load("slide"), keys, args)
                rows.update((m, row and keyspace.whole(m, row)) for m, row in zip(part, reply, strict=True))
        return [rows[member] for member in members]

    async def exist(self, keyspace: Keyspace, members: Sequence[bytes]) -> list[bool]:
        """Which of these records there are. Redis: EXISTS each."""
        commands = OnEachKey(b"EXISTS", keyspace.record_keys(members))
        return [bool(reply) for reply in _unrefused(await self._transport().commands(commands, retry=True))]

    # By plan.

    async def rows(
        self, reading: Reading, *, after: After | None = None, early: Early | None = None
    ) -> list[Found]:
        """The records a plan selects, in its order, its limit and offset applied; `after`: those behind a page.

        `early` is shown found records as they arrive, while the server goes on, in any order and before they are
        confirmed; only where everything is asked for.
        """
        selection = reading.query.selection
        limit, offset = selection.limit, selection.offset
        if reading.query.statement.impossible or limit == 0:
            return []
        if limit is None:
            return await self._everything(reading, after, early)
        while after is not None and after.texts and after.texts[0] is None:
            reading, after = reading.behind(after)
        return await self._first(reading, limit, offset, after)

    async def count(self, reading: Reading) -> int:
        """How many records the plan's conditions select; its limit and offset are not applied."""
        if reading.query.statement.impossible:
            return 0
        keyspace = reading.keyspace
        told = None if keyspace.schema.evictable else reading.query.telling()

        async def one(partition: int) -> int:
            if told is not None:
                number = await self._finder.tell(keyspace, partition, told, reading.trace)
                if number is not None:
                    return number
            total, listed, doubtful = 0, set[bytes](), set[bytes]()
            search = Search(
                keyspace, partition, reading.query, mode=b"count", verify=keyspace.schema.evictable
            )
            async for reply in self._run(search, reading.trace):
                total += reply.head.found - len(reply.members)
                listed.update(reply.members)
                doubtful.update(reply.doubtful)
            return total + len(listed) - len(await self._gone(keyspace, doubtful))

        return sum(await _on_partitions(keyspace, one))

    async def facets(self, keyspace: Keyspace, spec: FieldSpec) -> dict[bytes, tuple[bytes, int]] | None:
        """Token, text and number of records of every value of a tag, of all records; None when that takes a walk."""
        if keyspace.schema.evictable:
            return None
        counted: dict[bytes, tuple[bytes, int]] = {}
        for partition, base in enumerate(keyspace.bases):
            args: list[Arg] = [base, keyspace.fingerprint, spec.name.encode(), _LISTED]
            flat = await self._transport().call(load("facets"), [keyspace.registry(partition)], args)
            if flat is None:
                return None
            for token, text, count in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
                counted[token] = (text, count + counted.get(token, (b"", 0))[1])
        return counted

    async def any(self, reading: Reading) -> bool:
        """Whether the plan's conditions select a record at all; limit and offset are not applied."""
        if reading.query.statement.impossible:
            return False

        async def one(partition: int) -> bool:
            search = Search(
                reading.keyspace, partition, reading.query, mode=b"keys", limit=1, verify=True, ordered=False
            )
            async for reply in self._run(search, reading.trace):
                if reply.members:
                    gone = await self._gone(reading.keyspace, reply.doubtful)
                    return len(gone) < len(reply.members) or bool(
                        await self._candidates(reading, None, None, verify=True)
                    )
            return False

        return any(await _on_partitions(reading.keyspace, one))

    async def members(self, keyspace: Keyspace, query: Prepared, trace: Trace | None = None) -> list[bytes]:
        """The keys of the records a plan selects, in its order; limit and offset applied. Reads no record."""
        limit, offset = query.selection.limit, query.selection.offset
        if query.statement.impossible or limit == 0:
            return []
        reading = Reading(keyspace, query, trace=trace)
        found = await self._candidates(reading, None if limit is None else limit + offset, None, verify=True)
        return [entry.member for entry in found[offset : None if limit is None else offset + limit]]

    async def runs(self, reading: Reading) -> AsyncGenerator[list[bytes]]:
        """The keys of all records a plan's conditions select, in runs of no order; a key may come up twice."""
        if reading.query.statement.impossible:
            return
        for partition in range(len(reading.keyspace.bases)):
            search = Search(reading.keyspace, partition, reading.query, mode=b"keys", ordered=False)
            async for reply in self._run(search, reading.trace):
                yield reply.members

    async def tally(self, reading: Reading, specs: Sequence[FieldSpec]) -> Counter[tuple[bytes | None, ...]]:
        """How often each combination of these fields' keys (see find.lua, `wanted`) occurs in what a plan selects."""
        if reading.query.statement.impossible:
            return Counter()
        keyspace, width = reading.keyspace, len(specs)

        async def one(partition: int) -> Counter[tuple[bytes | None, ...]]:
            counted: Counter[tuple[bytes | None, ...]] = Counter()
            listed: dict[bytes, tuple[bytes | None, ...]] = {}
            doubtful = set[bytes]()
            search = Search(
                keyspace,
                partition,
                reading.query,
                mode=b"tally",
                wanted=specs,
                verify=keyspace.schema.evictable,
            )
            async for reply in self._run(search, reading.trace):
                for at in range(0, len(reply.keys), width + 1):
                    counted[tuple(reply.keys[at + 1 : at + 1 + width])] += reply.keys[at]
                listed.update(zip(reply.members, map(tuple, reply.rows), strict=True))
                doubtful.update(reply.doubtful)
            for member in await self._gone(keyspace, doubtful):
                listed.pop(member, None)
            counted.update(listed.values())
            return counted

        return sum(await _on_partitions(keyspace, one), start=Counter[tuple[bytes | None, ...]]())

    async def decide(self, keyspace: Keyspace, query: Prepared, partition: int) -> Decision:
        """What the server would do first for the rows of a plan."""
        limit, offset = query.selection.limit or 0, query.selection.offset
        search = Search(
            keyspace,
            partition,
            query,
            mode=b"plan",
            limit=limit + offset if limit else 0,
            ties=not query.statement.single,
        )
        return await self._finder.decide(search)

    async def fetch(self, reading: Reading, members: Sequence[bytes]) -> list[Found]:
        """Those of `members`, in order, that satisfy the plan's conditions as the indexes say now."""
        return await self._confirmed(reading, await self._fetch(reading, members))

    async def _fetch(self, reading: Reading, members: Sequence[bytes]) -> list[Found]:
        keyspace, rows = reading.keyspace, dict[bytes, Row]()
        for partition, group in _by_partition(keyspace, members).items():
            for first in range(0, len(group), FETCHED):
                listed = KeyIn(keyspace.schema.key, tuple(group[first : first + FETCHED]))
                path = Path((leaf(listed),), frozenset(), "keys")
                narrowed = reading.query.narrowed(path)
                search = Search(keyspace, partition, narrowed, mode=b"rows", names=reading.hash_fields)
                async for reply in self._run(search, reading.trace):
                    rows.update(zip(reply.members, reading.whole_rows(reply.rows), strict=True))
        return [(member, rows[member]) for member in members if member in rows]

    # How.

    async def _first(self, reading: Reading, limit: int, offset: int, after: After | None) -> list[Found]:
        stream = None
        if reading.query.statement.single:
            try:
                return await self._walked(reading, limit, offset, after)
            except KeysNeededError as needed:
                stream = needed.path
        return await self._sorted(reading, limit, offset, after, stream)

    async def _walked(self, reading: Reading, limit: int, offset: int, after: After | None) -> list[Found]:
        """The first records of an order that one index decides, found in that order."""
        several = len(reading.keyspace.bases) > 1
        needed, skip = (limit + offset, 0) if several else (limit, offset)

        async def one(partition: int) -> tuple[list[Found], int, int]:
            return await self._walk(reading, partition, needed, skip, after)

        parts = await _on_partitions(reading.keyspace, one)
        taken = [found for part, _, _ in parts for found in part]
        left = parts[0][1]
        if several:
            taken = _in_order(reading.query, taken, None)
            left = max(0, offset - len(taken))
            taken = taken[offset : offset + limit]
        if len(taken) < limit and any(tail for _, _, tail in parts):
            rest_of_it = reading.rest()
            if not rest_of_it.query.statement.impossible:
                taken += await self._first(rest_of_it, limit - len(taken), left, None)
        return taken

    async def _walk(
        self, reading: Reading, partition: int, limit: int, offset: int, after: After | None
    ) -> tuple[list[Found], int, int]:
        """One partition's first records, what is left of the offset, and whether there are records without a value."""
        query, names = reading.query, reading.hash_fields
        taken: dict[bytes, Row] = {}  # one that moves ahead of the walk is met twice
        start = position(query.statement.primary, after)
        while True:
            search = Search(
                reading.keyspace,
                partition,
                query,
                mode=reading.mode,
                limit=limit - len(taken),
                offset=offset,
                after=start,
                names=names,
            )
            tail, gone = 0, False
            async for reply in self._run(search, reading.trace):
                kept = [each for each in await self._rows_of(reading, reply) if each[0] not in taken]
                gone = gone or len(kept) < len(reply.members)
                taken.update(kept)
                tail, offset = reply.head.tail, offset - reply.head.skipped
                if reply.members:
                    start = _position_of(query, reply)
                search.limit, search.offset = limit - len(taken), offset
            if not gone or len(taken) >= limit:
                return list(taken.items())[:limit], offset, tail
            # some of what was found is gone: look behind it for as many more

    async def _rows_of(self, reading: Reading, reply: Reply) -> list[Found]:
        """The records of one reply of a walk; without those that have moved or gone since."""
        if len(reply.rows) == len(reply.members):
            seen = list(zip(reply.members, reading.whole_rows(reply.rows), strict=True))
            found = await self._confirmed(reading, seen)
            if found is seen:
                return found
        else:
            found = await self._read_all(reading, reply.members)
        places = dict(zip(reply.members, reply.keys, strict=True))
        wanted = columns(reading.query.selection.order)
        return [
            (member, row)
            for member, row in found
            if not wanted or _is_at(wanted[0], places[member], member, row[wanted[0].position])
        ]

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
                    if entry.member in found and _still(entry, _keys_of(wanted, found[entry.member]))
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

            async def one(partition: int) -> _Keys:
                return await self._keys(reading, partition, asked, after, verify=verify, stream=stream)  # noqa: B023

            parts = await _on_partitions(reading.keyspace, one)
            tail = needed is not None and any(part.tail for part in parts)
            listed = [following(part.entries(tail=tail), order, after) for part in parts]
            ordered = [entry for entry, _ in sort((pair for pairs in listed for pair in pairs), order)]
            if needed is None or asked is None:
                return ordered
            # every partition must have given as many as could be first of all
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
        async for reply in self._run(search, reading.trace):
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

    async def _read_all(self, reading: Reading, members: Sequence[bytes]) -> list[Found]:
        """As `_read`, of any number of records, and without those that are gone."""
        parts = [members[first : first + LOADED] for first in range(0, len(members), LOADED)]
        done = await asyncio.gather(*(self._read(reading, part) for part in parts))
        return await self._confirmed(reading, [found for part in done for found in part])

    async def _read(self, reading: Reading, members: Sequence[bytes]) -> list[Found]:
        """Those of `members`, in order, that satisfy the plan's conditions as they are now. Redis: HMGET each.

        The conditions are tested on the very row that is returned; where that does not tell, the server is asked.
        Records without a row are kept: see `_confirmed`.
        """
        keyspace = reading.keyspace
        names = reading.names_to_test
        commands = OnEachKey(b"HMGET", keyspace.record_keys(members), names)
        if reading.trace is not None:
            reading.trace.calls += 1
        rows = reading.widened(_unrefused(await self._transport().commands(commands, retry=True)), names)
        if not reading.query.clauses:
            return list(zip(members, rows, strict=True))
        holds, kept = test_of(keyspace.schema, reading.query.clauses), list[Found]()
        unclear: list[bytes] = []
        for member, row in zip(members, rows, strict=True):
            try:
                if keyspace.whole(member, row) is None or holds(member, row):
                    kept.append((member, row))
            except UnclearError:
                unclear.append(member)
        if not unclear:
            return kept
        found = {**dict(kept), **dict(await self.fetch(reading, unclear))}
        return [(member, found[member]) for member in members if member in found]

    async def _everything(self, reading: Reading, after: After | None, early: Early | None) -> list[Found]:
        query = reading.query

        async def one(partition: int) -> list[Found]:
            found: dict[bytes, Row] = {}

            def take(arrived: list[Found]) -> None:
                found.update(arrived)
                if early is not None:
                    early(arrived)

            search = Search(reading.keyspace, partition, query, mode=reading.mode, names=reading.hash_fields)
            reads: deque[asyncio.Task[list[Found]]] = deque()
            try:
                async for reply in self._run(search, reading.trace):
                    if reply.rows:
                        take(list(zip(reply.members, reading.whole_rows(reply.rows), strict=True)))
                        continue
                    fresh = [member for member in reply.members if member not in found]
                    for first in range(0, len(fresh), LOADED):
                        part = fresh[first : first + LOADED]
                        reads.append(asyncio.create_task(self._read(reading, part)))
                        await asyncio.sleep(0)  # let it be sent
                        if len(reads) > 2:
                            take(await reads.popleft())
                while reads:
                    take(await reads.popleft())
            finally:
                for read in reads:
                    read.cancel()
            return await self._confirmed(reading, list(found.items()))

        found = [record for part in await _on_partitions(reading.keyspace, one) for record in part]
        return _in_order(query, found, after)[query.selection.offset :]

    async def _run(self, search: Search, trace: Trace | None) -> AsyncGenerator[Reply]:
        async for reply in self._finder.run(search, trace):
            if reply.head.overdue:
                self.overdue.add((search.keyspace, search.partition))
            yield reply

    async def _gone(self, keyspace: Keyspace, doubtful: Iterable[bytes]) -> set[bytes]:
        """Which of the records that a script could not see are gone; asked for by their own keys."""
        members = list(doubtful)
        if not members:
            return set()
        there = await self.exist(keyspace, members)
        gone = {member for member, is_there in zip(members, there, strict=True) if not is_there}
        self.missing.update((keyspace, member) for member in gone)
        return gone

    async def _confirmed(self, reading: Reading, found: list[Found]) -> list[Found]:
        """Ask again, by its own key, for every record that an index lists and the script could not see."""
        keyspace = reading.keyspace
        key = keyspace.schema.key.position
        if all(row[key] is not None for _, row in found):
            return found
        rows = {member: keyspace.whole(member, row) for member, row in found}
        doubtful = [member for member, row in rows.items() if row is None]
        # one that is there by now may be another than was found: the conditions are tested again
        again = self._read if reading.mode == b"few" else self._fetch
        for member, row in await again(reading, doubtful):
            rows[member] = keyspace.whole(member, row)
            if rows[member] is None:
                self.missing.add((keyspace, member))
        return [(member, row) for member, row in rows.items() if row is not None]


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


def _keys_of(wanted: Sequence[FieldSpec], row: Row) -> tuple[Any, ...]:
    return tuple(text_key(spec, row[spec.position]) for spec in wanted)


def _still(entry: Entry, keys: tuple[Any, ...]) -> bool:
    """Whether a record is where it was; an entry from the rest of an order has no keys for columns that are None."""
    absent = len(keys) - len(entry.keys)
    return keys[absent:] == entry.keys and all(key is None for key in keys[:absent])


def _is_at(spec: FieldSpec, key: bytes, member: bytes, text: bytes | None) -> bool:
    """Whether a record that a walk met at this score or text entry has it by its row, too."""
    if text is None:
        return False
    if spec.kind is Kind.TEXT:
        return key == text_member(text, member)
    return bool(score_key(spec, key) == text_key(spec, text))


def _in_order(query: Prepared, found: list[Found], after: After | None) -> list[Found]:
    order = query.selection.order
    wanted = columns(order)
    if not wanted and after is None:
        return sorted(found, key=itemgetter(0), reverse=bool(order) and order[0].descending)
    pairs = [(Entry(record[0], _keys_of(wanted, record[1])), record) for record in found]
    return [record for _, record in following(pairs, order, after)]


def _position_of(query: Prepared, reply: Reply) -> tuple[bytes, bytes]:
    """Where the order goes on after the last record of a reply."""
    primary, member, key = query.statement.primary, reply.members[-1], reply.keys[-1] or b""
    if primary is None or primary.field.kind is Kind.KEY:
        return (b"", member)
    return (b"", key) if primary.field.kind is Kind.TEXT else (key, member)


def _by_partition(keyspace: Keyspace, members: Sequence[bytes]) -> dict[int, list[bytes]]:
    groups: dict[int, list[bytes]] = {}
    for member in members:
        groups.setdefault(keyspace.partition(member), []).append(member)
    return groups


async def _on_partitions(keyspace: Keyspace, work: Callable[[int], Coroutine[Any, Any, T]]) -> list[T]:
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


def _unrefused(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, RedisomError):
            raise reply
    return replies
