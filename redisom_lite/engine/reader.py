"""The one way to read: records by key, and plans through find.lua.

What leaves here are *found* records, (member, row) pairs: a member is the primary key's sort form, a row the stored
texts in the order of `Keyspace.names`, None for what is not stored. Turning rows into objects is `hydrate.py`'s.

Records that an index lists and the server does not have (evicted, deleted by other programs, or their slot is moving)
are asked for once more by their own key, left out if they are gone, and noted in `missing` for a cleaning step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from redisom_lite.engine.finding import Finder, KeysNeededError, Reply, Row, Search, Trace
from redisom_lite.engine.scripts import load
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import RedisomError
from redisom_lite.plan.expression import KeyIn
from redisom_lite.plan.ordering import After, Entry, columns, following, position, rest, score_key, text_key
from redisom_lite.plan.planner import Path, Plan
from redisom_lite.plan.program import leaf
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import Kind

T = TypeVar("T")

Found = tuple[bytes, Row]

FETCHED: Final = 500
"""Records asked for by key in one go."""


class Reader:
    """Reads for one database. `overdue` and `missing` collect what a write should clean up."""

    def __init__(self, transport: Callable[[], Transport]) -> None:
        self._transport = transport
        self._finder = Finder(transport)
        self.overdue: set[tuple[Keyspace, int]] = set()
        self.missing: set[tuple[Keyspace, bytes]] = set()

    # By key.

    async def load(self, keyspace: Keyspace, members: Sequence[bytes]) -> list[Row | None]:
        """Rows of the records with these keys, in order, None where there is none. Redis: HMGET each."""
        names = keyspace.names
        rows: list[Row | None] = []
        for first in range(0, len(members), FETCHED):
            part = members[first : first + FETCHED]
            commands = [(b"HMGET", keyspace.record_key(member), *names) for member in part]
            replies = _unrefused(await self._transport().commands(commands, retry=True))
            rows += [whole(keyspace, member, row) for member, row in zip(part, replies, strict=True)]
        return rows

    async def load_sliding(self, keyspace: Keyspace, members: Sequence[bytes], ttl_ms: int) -> list[Row | None]:
        """As `load`, and give each record found a lifetime of `ttl_ms` from now, in the same step."""
        rows: dict[bytes, Row | None] = {}
        for partition, group in _by_partition(keyspace, members).items():
            for first in range(0, len(group), FETCHED):
                part = group[first : first + FETCHED]
                keys = [keyspace.record_key(member) for member in part]
                args = [keyspace.bases[partition], ttl_ms, *part, *keyspace.names]
                reply = await self._transport().call(load("slide"), keys, args)
                rows.update((m, row and whole(keyspace, m, row)) for m, row in zip(part, reply, strict=True))
        return [rows[member] for member in members]

    async def exist(self, keyspace: Keyspace, members: Sequence[bytes]) -> list[bool]:
        """Which of these records there are. Redis: EXISTS each."""
        commands = [(b"EXISTS", keyspace.record_key(member)) for member in members]
        return [bool(reply) for reply in _unrefused(await self._transport().commands(commands, retry=True))]

    # By plan.

    async def rows(
        self, keyspace: Keyspace, query: Plan, *, after: After | None = None, trace: Trace | None = None
    ) -> list[Found]:
        """The records a plan selects, in its order, its limit and offset applied; `after`: those behind a page."""
        limit, offset = query.selection.limit, query.selection.offset
        if query.impossible or limit == 0:
            return []
        if limit is None:
            return await self._everything(keyspace, query, after, trace)
        if after is not None and after.texts and after.texts[0] is None:
            behind = rest(query)
            texts = after.texts[1:] if len(after.texts) > 1 else ()
            return await self._first(keyspace, behind, limit, offset, After(after.member, texts), trace)
        return await self._first(keyspace, query, limit, offset, after, trace)

    async def count(self, keyspace: Keyspace, query: Plan, trace: Trace | None = None) -> int:
        """How many records the plan's conditions select; its limit and offset are not applied."""
        if query.impossible:
            return 0

        async def one(partition: int) -> int:
            total, listed = 0, set[bytes]()
            async for reply in self._run(Search(keyspace, partition, query, mode=b"count"), trace):
                total += reply.head.found - len(reply.members)
                listed.update(reply.members)
            return total + len(listed)

        return sum(await _on_partitions(keyspace, one))

    async def members(self, keyspace: Keyspace, query: Plan, trace: Trace | None = None) -> list[bytes]:
        """The keys of the records a plan selects, in its order; limit and offset applied. Reads no record."""
        limit, offset = query.selection.limit, query.selection.offset
        if query.impossible or limit == 0:
            return []
        found = await self._candidates(keyspace, query, None if limit is None else limit + offset, None, trace)
        return found[offset : None if limit is None else offset + limit]

    async def fetch(
        self, keyspace: Keyspace, query: Plan, members: Sequence[bytes], trace: Trace | None = None
    ) -> list[Found]:
        """Those of `members` that satisfy the plan's conditions now, in the order given."""
        rows: dict[bytes, Row] = {}
        for partition, group in _by_partition(keyspace, members).items():
            for first in range(0, len(group), FETCHED):
                listed = KeyIn(keyspace.schema.key, tuple(group[first : first + FETCHED]))
                path = Path((leaf(listed),), frozenset(), "keys")
                narrowed = replace(query, paths=(path,), primary=None)
                async for reply in self._run(Search(keyspace, partition, narrowed, mode=b"rows"), trace):
                    rows.update(zip(reply.members, reply.rows, strict=True))
        return await self._confirmed(keyspace, [(member, rows[member]) for member in members if member in rows])

    # How.

    async def _first(
        self, keyspace: Keyspace, query: Plan, limit: int, offset: int, after: After | None, trace: Trace | None
    ) -> list[Found]:
        if query.single:
            try:
                return await self._walked(keyspace, query, limit, offset, after, trace)
            except KeysNeededError:
                pass
        return await self._sorted(keyspace, query, limit, offset, after, trace)

    async def _walked(
        self, keyspace: Keyspace, query: Plan, limit: int, offset: int, after: After | None, trace: Trace | None
    ) -> list[Found]:
        """The first records of an order that one index decides, found in that order."""
        several = len(keyspace.bases) > 1
        needed, skip = (limit + offset, 0) if several else (limit, offset)

        async def one(partition: int) -> tuple[list[Found], int, int]:
            return await self._walk(keyspace, partition, query, needed, skip, after, trace)

        parts = await _on_partitions(keyspace, one)
        taken = [found for part, _, _ in parts for found in part]
        left = parts[0][1]
        if several:
            taken = _in_order(query, taken, None)
            left = max(0, offset - len(taken))
            taken = taken[offset : offset + limit]
        if len(taken) < limit and any(tail for _, _, tail in parts):
            taken += await self._first(keyspace, rest(query), limit - len(taken), left, None, trace)
        return taken

    async def _walk(
        self,
        keyspace: Keyspace,
        partition: int,
        query: Plan,
        limit: int,
        offset: int,
        after: After | None,
        trace: Trace | None,
    ) -> tuple[list[Found], int, int]:
        """One partition's first records, what is left of the offset, and whether there are records without a value."""
        taken: list[Found] = []
        start = position(query, after)
        while True:
            search = Search(
                keyspace, partition, query, mode=b"rows", limit=limit - len(taken), offset=offset, after=start
            )
            tail, gone = 0, False
            async for reply in self._run(search, trace):
                kept = await self._confirmed(keyspace, list(zip(reply.members, reply.rows, strict=True)))
                gone = gone or len(kept) < len(reply.members)
                taken += kept
                tail, offset = reply.head.tail, offset - reply.head.skipped
                search.limit, search.offset = limit - len(taken), offset
                if reply.members:
                    start = _position_of(query, reply)
            if not gone or len(taken) >= limit:
                return taken[:limit], offset, tail
            # some of what was found is gone: look behind it for as many more

    async def _sorted(
        self, keyspace: Keyspace, query: Plan, limit: int, offset: int, after: After | None, trace: Trace | None
    ) -> list[Found]:
        """Sort keys first, then the records wanted; what has changed meanwhile is passed over."""
        candidates = await self._candidates(keyspace, query, limit + offset, after, trace)
        taken: list[Found] = []
        at = offset
        while len(taken) < limit and at < len(candidates):
            part = candidates[at : at + min(FETCHED, limit - len(taken))]
            taken += await self.fetch(keyspace, query, part, trace)
            at += len(part)
        return taken

    async def _candidates(
        self, keyspace: Keyspace, query: Plan, needed: int | None, after: After | None, trace: Trace | None
    ) -> list[bytes]:
        """Keys in order; with `needed`, at least that many of the first if there are so many."""
        if after is not None and after.texts and after.texts[0] is None:
            behind = After(after.member, after.texts[1:])
            return await self._candidates(keyspace, rest(query), needed, behind, trace)
        asked = needed
        while True:

            async def one(partition: int) -> tuple[dict[bytes, tuple[Any, ...]], int]:
                return await self._keys(keyspace, partition, query, asked, after, trace)  # noqa: B023 - awaited here

            parts = await _on_partitions(keyspace, one)
            pairs = [(Entry(member, keys), member) for part, _ in parts for member, keys in part.items()]
            ordered = [member for _, member in following(pairs, query.selection.order, after)]
            if needed is None or asked is None:
                return ordered
            if len(ordered) >= needed or all(len(part) < asked for part, _ in parts):
                break
            asked *= 2  # the end of the last page lies within a large tie
        if len(ordered) < needed and any(tail for _, tail in parts):
            ordered += await self._candidates(keyspace, rest(query), needed - len(ordered), None, trace)
        return ordered

    async def _keys(
        self,
        keyspace: Keyspace,
        partition: int,
        query: Plan,
        needed: int | None,
        after: After | None,
        trace: Trace | None,
    ) -> tuple[dict[bytes, tuple[Any, ...]], int]:
        """One partition's sort keys by member, and whether there are records without a value besides.

        A limited walk stops at the limit, but never between records that its first column does not tell apart.
        """
        wanted = columns(query.selection.order)
        taken: dict[bytes, tuple[Any, ...]] = {}
        start = position(query, after, whole_tie=True) if needed is not None else None
        search = Search(
            keyspace,
            partition,
            query,
            mode=b"keys",
            limit=needed or 0,
            after=start,
            wanted=wanted,
            ties=bool(wanted),
        )
        tail = 0
        async for reply in self._run(search, trace):
            width, tail = len(wanted), reply.head.tail
            for n, member in enumerate(reply.members):
                keys = reply.keys[n * width : (n + 1) * width]
                taken[member] = tuple(score_key(spec, key) for spec, key in zip(wanted, keys, strict=True))
            if needed is not None:
                search.limit = max(1, needed - len(taken))
        return taken, tail

    async def _everything(
        self, keyspace: Keyspace, query: Plan, after: After | None, trace: Trace | None
    ) -> list[Found]:
        async def one(partition: int) -> list[Found]:
            found: dict[bytes, Row] = {}
            async for reply in self._run(Search(keyspace, partition, query, mode=b"rows"), trace):
                found.update(zip(reply.members, reply.rows, strict=True))
            return await self._confirmed(keyspace, list(found.items()))

        found = [record for part in await _on_partitions(keyspace, one) for record in part]
        return _in_order(query, found, after)[query.selection.offset :]

    async def _run(self, search: Search, trace: Trace | None) -> Any:
        async for reply in self._finder.run(search, trace):
            if reply.head.overdue:
                self.overdue.add((search.keyspace, search.partition))
            yield reply

    async def _confirmed(self, keyspace: Keyspace, found: list[Found]) -> list[Found]:
        """Ask again, by its own key, for every record that an index lists and the script could not see."""
        key = keyspace.schema.key.position
        if all(row[key] is not None for _, row in found):
            return found
        rows = {member: whole(keyspace, member, row) for member, row in found}
        doubtful = [member for member, row in rows.items() if row is None]
        rows.update(zip(doubtful, await self.load(keyspace, doubtful), strict=True))
        self.missing.update((keyspace, member) for member in doubtful if rows[member] is None)
        return [(member, row) for member, row in rows.items() if row is not None]


def whole(keyspace: Keyspace, member: bytes, row: Row) -> Row | None:
    """The row, its key filled in where another program left it out; None when nothing is stored at all."""
    position_of_key = keyspace.schema.key.position
    if row[position_of_key] is None:
        if all(text is None for text in row):
            return None
        codec = keyspace.schema.key.codec
        row[position_of_key] = codec.encode(codec.of_member(member))
    return row


def _in_order(query: Plan, found: list[Found], after: After | None) -> list[Found]:
    order = query.selection.order
    wanted = columns(order)
    pairs = [
        (Entry(record[0], tuple(text_key(spec, record[1][spec.position]) for spec in wanted)), record)
        for record in found
    ]
    return [record for _, record in following(pairs, order, after)]


def _position_of(query: Plan, reply: Reply) -> tuple[bytes, bytes]:
    """Where the order goes on after the last record of a reply."""
    primary, member, key = query.primary, reply.members[-1], reply.keys[-1] or b""
    if primary is None or primary.field.kind is Kind.KEY:
        return (b"", member)
    return (b"", key) if primary.field.kind is Kind.TEXT else (key, member)


def _by_partition(keyspace: Keyspace, members: Sequence[bytes]) -> dict[int, list[bytes]]:
    groups: dict[int, list[bytes]] = {}
    for member in members:
        groups.setdefault(keyspace.partition(member), []).append(member)
    return groups


async def _on_partitions(keyspace: Keyspace, work: Callable[[int], Coroutine[Any, Any, T]]) -> list[T]:
    if len(keyspace.bases) == 1:
        return [await work(0)]
    return list(await asyncio.gather(*(work(number) for number in range(len(keyspace.bases)))))


def _unrefused(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, RedisomError):
            raise reply
    return replies
