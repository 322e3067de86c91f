"""The one way to read: records by key, and plans through find.lua.

What leaves here are *found* records, (member, row) pairs: a member is the primary key's sort form, a row the stored
texts in the order of `Keyspace.names`, None for what is not stored. Turning rows into objects is `hydrate.py`'s.
The reader stands on three floors: records by key (`loading.py`), candidates that are tested and confirmed
(`sifting.py`), orders by sort keys (`sorting.py`).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, TypeVar

from redisom_lite.engine.finding import Decision, KeysNeededError, Reply, Row, added_up
from redisom_lite.engine.loading import parts_of
from redisom_lite.engine.node import Arg
from redisom_lite.engine.reading import Found, Reading
from redisom_lite.engine.scripts import load
from redisom_lite.engine.search import Search
from redisom_lite.engine.sorting import Sorter, in_order, keys_of, on_partitions
from redisom_lite.keys import text_member
from redisom_lite.plan.ordering import After, columns, position, score_key, text_key
from redisom_lite.plan.planner import portions
from redisom_lite.plan.prepared import Prepared
from redisom_lite.plan.slicing import are_apart, is_cut, slices
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import FieldSpec, Kind

T = TypeVar("T")

_LISTED: Final = 2000


class Reader(Sorter):
    """Reads for one database."""

    async def rows(self, reading: Reading, *, after: After | None = None) -> list[Found]:
        """The records a plan selects, in its order, its limit and offset applied; `after`: those behind a page."""
        selection = reading.query.selection
        limit, offset = selection.limit, selection.offset
        if reading.query.statement.impossible or limit == 0:
            return []
        if limit is None:
            return await self._everything(reading, after, _itself)
        while after is not None and after.texts and after.texts[0] is None:
            reading, after = reading.behind(after)
        return await self._first(reading, limit, offset, after)

    async def made(self, reading: Reading, make: Callable[[Row], T]) -> list[T]:
        """What `make` makes of these rows; of everything, of each as it arrives, while the server goes on."""
        query = reading.query
        if query.selection.limit is None and not query.statement.impossible:
            return [made for _, made in await self._everything(reading, None, make)]
        return [make(row) for _, row in await self.rows(reading)]

    async def count(self, reading: Reading) -> int:
        """How many records the plan's conditions select; its limit and offset are not applied."""
        if reading.query.statement.impossible:
            return 0
        apart = are_apart(reading.query)
        told = apart and not reading.keyspace.schema.evictable

        async def one(partition: int) -> int:
            total, left = 0, list[Reading]()
            for part in reading.slices(partition):
                number = await self._told(part, partition) if told else None
                if number is None:
                    left.append(part)
                else:
                    total += number
            return total + await self._counted(left, partition, apart=apart) if left else total

        return sum(await on_partitions(reading.keyspace, one))

    async def _told(self, reading: Reading, partition: int) -> int | None:
        """A count that cardinalities tell."""
        words = reading.query.telling()
        if words is None:
            return None
        return await self._finder.tell(reading.keyspace, partition, words, reading.trace)

    async def _counted(self, parts: Sequence[Reading], partition: int, *, apart: bool) -> int:
        """How many records these parts of one query find; `apart`: none is in two of them."""
        keyspace, evictable = parts[0].keyspace, parts[0].keyspace.schema.evictable
        mode = b"count" if apart else b"keys"
        total, listed, doubtful = 0, set[bytes](), set[bytes]()
        for part in parts:
            search = Search(keyspace, partition, part.query, mode=mode, verify=evictable, ordered=False)
            async for reply in self._finder.run(search, part.trace):
                total += reply.head.found - len(reply.members)
                listed.update(reply.members)
                doubtful.update(reply.doubtful)
        return total + len(listed) - len(await self._gone(keyspace, doubtful))

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
            for part in reading.slices(partition):
                search = Search(
                    reading.keyspace, partition, part.query, mode=b"keys", limit=1, verify=True, ordered=False
                )
                async for reply in self._finder.run(search, reading.trace):
                    if reply.members:
                        gone = await self._gone(reading.keyspace, reply.doubtful)
                        return len(gone) < len(reply.members) or bool(
                            await self._candidates(reading, None, None, verify=True)
                        )
            return False

        return any(await on_partitions(reading.keyspace, one))

    async def runs(self, reading: Reading) -> AsyncGenerator[tuple[Prepared, list[bytes]]]:
        """The keys of all records a plan's conditions select, in runs of no order; a key may come up twice.

        Each with the query that found them: this one, or a slice of it.
        """
        if reading.query.statement.impossible:
            return
        for partition in range(len(reading.keyspace.bases)):
            for part in reading.slices(partition):
                search = Search(reading.keyspace, partition, part.query, mode=b"keys", ordered=False)
                async for reply in self._finder.run(search, reading.trace):
                    yield part.query, reply.members

    async def tally(self, reading: Reading, specs: Sequence[FieldSpec]) -> Counter[tuple[bytes | None, ...]]:
        """How often each combination of these fields' keys (see find.lua, `wanted`) occurs in what a plan selects."""
        if reading.query.statement.impossible:
            return Counter()
        keyspace, width = reading.keyspace, len(specs)
        mode = b"tally" if are_apart(reading.query) else b"keys"

        async def one(partition: int) -> Counter[tuple[bytes | None, ...]]:
            counted: Counter[tuple[bytes | None, ...]] = Counter()
            listed: dict[bytes, tuple[bytes | None, ...]] = {}
            doubtful = set[bytes]()
            for part in reading.slices(partition):
                search = Search(
                    keyspace,
                    partition,
                    part.query,
                    mode=mode,
                    wanted=specs,
                    verify=keyspace.schema.evictable,
                    ordered=False,
                )
                async for reply in self._finder.run(search, reading.trace):
                    keys, rows = reply.keys, reply.rows
                    if mode == b"keys":
                        rows = [keys[at : at + width] for at in range(0, len(keys), width)]
                    else:
                        for at in range(0, len(keys), width + 1):
                            counted[tuple(keys[at + 1 : at + 1 + width])] += keys[at]
                    listed.update(zip(reply.members, map(tuple, rows), strict=True))
                    doubtful.update(reply.doubtful)
            for member in await self._gone(keyspace, doubtful):
                listed.pop(member, None)
            counted.update(listed.values())
            return counted

        return sum(await on_partitions(keyspace, one), start=Counter[tuple[bytes | None, ...]]())

    async def decide(self, keyspace: Keyspace, query: Prepared, partition: int) -> Decision:
        """What the server would do first for the rows of a plan."""
        limit, offset = query.selection.limit or 0, query.selection.offset
        found: list[Decision] = []
        for part in slices(query) if is_cut(query) else (query,):
            search = Search(
                keyspace,
                partition,
                part,
                mode=b"plan",
                limit=limit + offset if limit else 0,
                ties=not query.statement.single,
            )
            found.append(await self._finder.decide(search))
        return added_up(found)

    # How.

    async def _everything(
        self, reading: Reading, after: After | None, make: Callable[[Row], T]
    ) -> list[tuple[bytes, T]]:
        key, wanted = reading.keyspace.schema.key.position, columns(reading.query.selection.order)
        made: dict[bytes, T] = {}
        keys: dict[bytes, tuple[Any, ...]] = {}

        def take(arrived: list[Found]) -> list[Found]:
            """Make what can be made, and keep no row of it; returns what is to be confirmed first."""
            doubtful: list[Found] = []
            for member, row in arrived:
                if row[key] is None:
                    doubtful.append((member, row))
                    continue
                made[member] = make(row)
                if wanted:
                    keys[member] = keys_of(wanted, row)
            return doubtful

        async def one(partition: int) -> None:
            doubtful: list[Found] = []
            reads: deque[asyncio.Task[list[Found]]] = deque()
            sizes = portions()
            try:
                async for reply in self._replies(reading, partition):
                    if reply.rows:
                        doubtful += take(
                            list(zip(reply.members, reading.whole_rows(reply.rows), strict=True))
                        )
                        continue
                    fresh = [member for member in reply.members if member not in made]
                    for part in parts_of(fresh, sizes):
                        reads.append(asyncio.create_task(self._read(reading, part)))
                        await asyncio.sleep(0)  # let it be sent
                        if len(reads) > 2:
                            doubtful += take(await reads.popleft())
                while reads:
                    doubtful += take(await reads.popleft())
            finally:
                for read in reads:
                    read.cancel()
            take(await self._confirmed(reading, doubtful))

        await on_partitions(reading.keyspace, one)
        return in_order(reading.query, made, keys, after)[reading.query.selection.offset :]

    async def _replies(self, reading: Reading, partition: int) -> AsyncGenerator[Reply]:
        """Everything of one partition, in no order."""
        keyspace = reading.keyspace
        for part in reading.slices(partition):
            search = Search(keyspace, partition, part.query, mode=reading.mode, names=reading.names)
            async for reply in self._finder.run(search, reading.trace):
                yield reply

    async def _first(self, reading: Reading, limit: int, offset: int, after: After | None) -> list[Found]:
        stream = None
        if reading.query.statement.single:
            try:
                return await self._walked(reading, limit, offset, after)
            except KeysNeededError as needed:
                stream = None if is_cut(reading.query) else needed.path  # each slice has its own paths
        return await self._sorted(reading, limit, offset, after, stream)

    async def _walked(self, reading: Reading, limit: int, offset: int, after: After | None) -> list[Found]:
        """The first records of an order that one index decides, found in that order."""
        if len(reading.keyspace.bases) == 1 and not is_cut(reading.query):
            taken, left, tail = await self._walk(reading, 0, limit, offset, after)
        else:
            taken, left, tail = await self._walked_apart(reading, limit, offset, after)
        if len(taken) < limit and tail:
            rest_of_it = reading.rest()
            if not rest_of_it.query.statement.impossible:
                taken += await self._first(rest_of_it, limit - len(taken), left, None)
        return taken

    async def _walked_apart(
        self, reading: Reading, limit: int, offset: int, after: After | None
    ) -> tuple[list[Found], int, bool]:
        """As `_walk`, over all partitions and slices; a record may be in two of these."""

        async def one(partition: int) -> list[tuple[list[Found], int, bool]]:
            return [
                await self._walk(part, partition, limit + offset, 0, after)
                for part in reading.slices(partition)
            ]

        parts = [part for each in await on_partitions(reading.keyspace, one) for part in each]
        merged = {member: row for part, _, _ in parts for member, row in part}
        wanted = columns(reading.query.selection.order)
        keys = {member: keys_of(wanted, row) for member, row in merged.items()}
        taken = in_order(reading.query, merged, keys, None)
        left = max(0, offset - len(taken))
        return taken[offset : offset + limit], left, any(tail for _, _, tail in parts)

    async def _walk(
        self, reading: Reading, partition: int, limit: int, offset: int, after: After | None
    ) -> tuple[list[Found], int, bool]:
        """One partition's first records, what is left of the offset, and whether there are records without a value."""
        query = reading.query
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
                names=reading.names,
            )
            gone = False
            while True:
                reply = await self._finder.ask(search, reading.trace)
                known = len(taken)
                for member, row in await self._rows_of(reading, reply):
                    taken.setdefault(member, row)
                gone = gone or len(taken) - known < len(reply.members)
                offset -= reply.head.skipped
                if reply.members:
                    start = _position_of(query, reply)
                search.limit, search.offset = limit - len(taken), offset
                if not reply.head.more or not search.limit:
                    break
            if not gone or len(taken) >= limit:
                return list(taken.items())[:limit], offset, reply.head.tail > 0
            # some of what was found is gone: look behind it for as many more

    async def _rows_of(self, reading: Reading, reply: Reply) -> list[Found]:
        """The records of one reply of a walk; without those that have moved or gone since."""
        if len(reply.rows) == len(reply.members):
            seen = list(zip(reply.members, reading.whole_rows(reply.rows), strict=True))
            found = await self._confirmed(reading, seen)
            if found is seen or len(reply.keys) < len(reply.members):  # all were there
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


def _itself(row: Row) -> Row:
    return row


def _is_at(spec: FieldSpec, key: bytes, member: bytes, text: bytes | None) -> bool:
    """Whether a record that a walk met at this score or text entry has it by its row, too."""
    if text is None:
        return False
    if spec.kind is Kind.TEXT:
        return key == text_member(text, member)
    return bool(score_key(spec, key) == text_key(spec, text))


def _position_of(query: Prepared, reply: Reply) -> tuple[bytes, bytes]:
    """Where the order goes on after the last record of a reply."""
    primary, member, key = query.statement.primary, reply.members[-1], reply.keys[-1] or b""
    if primary is None or primary.field.kind is Kind.KEY:
        return (b"", member)
    return (b"", key) if primary.field.kind is Kind.TEXT else (key, member)
