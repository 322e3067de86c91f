"""From what the indexes list to what is there: candidates are read, tested and confirmed.

Records that an index lists and the server does not have (evicted, deleted by other programs, or their slot is moving)
are asked for once more by their own key, left out if they are gone, and noted in `missing` for a cleaning step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from redisom_lite.engine.finding import Finder, Row
from redisom_lite.engine.loading import FETCHED, Loader, by_partition, unrefused
from redisom_lite.engine.reading import Found, Reading
from redisom_lite.engine.resp import OnEachKey
from redisom_lite.engine.search import Budget, Search
from redisom_lite.engine.transport import Transport
from redisom_lite.plan.expression import KeyIn
from redisom_lite.plan.matching import UnclearError
from redisom_lite.plan.planner import LOADED, Path
from redisom_lite.plan.program import leaf
from redisom_lite.schema.keyspace import Keyspace


class Sifter(Loader):
    """Reads candidates. `overdue` and `missing` collect what a write should clean up."""

    def __init__(self, transport: Callable[[], Transport]) -> None:
        super().__init__(transport)
        self.budget = Budget()
        self.overdue: set[tuple[Keyspace, int]] = set()
        self.missing: set[tuple[Keyspace, bytes]] = set()
        self._finder = Finder(transport, self.budget, self.overdue)

    async def fetch(self, reading: Reading, members: Sequence[bytes]) -> list[Found]:
        """Those of `members`, in order, that satisfy the plan's conditions as the indexes say now."""
        return await self._confirmed(reading, await self._fetch(reading, members))

    async def _fetch(self, reading: Reading, members: Sequence[bytes]) -> list[Found]:
        keyspace, rows = reading.keyspace, dict[bytes, Row]()
        for partition, group in by_partition(keyspace, members).items():
            for first in range(0, len(group), FETCHED):
                listed = KeyIn(keyspace.schema.key, tuple(group[first : first + FETCHED]))
                path = Path((leaf(listed),), frozenset(), "keys")
                for part in reading.slices(partition):
                    narrowed = part.query.narrowed(path)
                    search = Search(keyspace, partition, narrowed, mode=b"rows", names=reading.names)
                    async for reply in self._finder.run(search, reading.trace):
                        rows.update(zip(reply.members, reading.whole_rows(reply.rows), strict=True))
        return [(member, rows[member]) for member in members if member in rows]

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
        rows = reading.widened(unrefused(await self._transport().commands(commands, retry=True)), names)
        if not reading.query.clauses:
            return list(zip(members, rows, strict=True))
        holds, kept, key = reading.query.test, list[Found](), keyspace.schema.key.position
        unclear: list[bytes] = []
        for member, row in zip(members, rows, strict=True):
            try:
                if (row[key] is None and keyspace.whole(member, row) is None) or holds(member, row):
                    kept.append((member, row))
            except UnclearError:
                unclear.append(member)
        if not unclear:
            return kept
        found = {**dict(kept), **dict(await self.fetch(reading, unclear))}
        return [(member, found[member]) for member in members if member in found]

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
        if None not in [row[key] for _, row in found]:
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
