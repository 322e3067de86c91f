"""One run of find.lua over one partition: its arguments, its replies, and going on where a call stopped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redisom_lite.engine.declare import declare, require_ready
from redisom_lite.engine.scripts import load
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import AccessDeniedError, IndexNotReadyError, ReadOnlyError
from redisom_lite.plan.ordering import Position
from redisom_lite.plan.planner import Plan
from redisom_lite.plan.program import program
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import FieldSpec, Kind

BUDGET: Final = 4000
"""Index entries one call examines at most."""
BUDGET_MS: Final = 3
"""Server milliseconds after which a call stops at the next chunk."""

Row = list[bytes | None]


@dataclass(frozen=True, slots=True)
class Head:
    """What a call of find.lua did, and where it stopped (see the script)."""

    strategy: bytes
    path: int
    examined: int
    skipped: int
    more: int
    score: bytes
    member: bytes
    read: int
    scan: bytes
    overdue: int
    tail: int
    found: int
    sizes: list[int]


@dataclass(frozen=True, slots=True)
class Reply:
    """One call's answer; `head` is None when the answer needs sort keys instead (`keys_needed`)."""

    head: Head
    members: list[bytes]
    keys: list[bytes | None]
    rows: list[Row]


@dataclass(slots=True)
class Trace:
    """What answering took, for `explain(analyze=True)`: the calls made and what each did."""

    calls: int = 0
    heads: list[Head] = field(default_factory=list[Head])


class KeysNeededError(Exception):
    """The rows cannot be walked or gathered in order within one call: sort keys first. Never leaves the engine."""


class Finder:
    """Runs find.lua for one database, and knows which index states the server and this process agreed on."""

    def __init__(self, transport: Callable[[], Transport]) -> None:
        self._transport = transport
        self._accepted: dict[tuple[bytes, bytes], bytes] = {}

    async def run(self, search: Search, trace: Trace | None = None) -> AsyncGenerator[Reply]:
        """Call until the search is done; the caller may lower its `limit` and `offset` between replies."""
        while True:
            reply = await self._call(search, trace)
            if reply[0] in (b"K", b"G"):
                raise KeysNeededError
            head = Head(*reply[1])
            if trace is not None:
                trace.heads.append(head)
            yield Reply(head, reply[2], reply[3], reply[4])
            if not head.more:
                return
            search.go_on(head)

    async def _call(self, search: Search, trace: Trace | None) -> Any:
        keyspace, transport, script = search.keyspace, self._transport(), load("find")
        known = (keyspace.bases[search.partition], keyspace.fingerprint)
        key = keyspace.registry(search.partition)
        for _ in range(4):
            if trace is not None:
                trace.calls += 1
            reply = await transport.call(script, [key], search.args(self._accepted.get(known, b"")))
            if reply[0] != b"M":
                return reply
            state = reply[1]
            if state is None:
                try:
                    state = await declare(transport, keyspace, search.partition, writer=False)
                except (AccessDeniedError, ReadOnlyError):
                    state = b"*"  # a replica, or a user who may only read: the writers answer for the indexes
            if state != b"*":
                require_ready(keyspace, state, search.query.indexes)
            self._accepted[known] = state
        raise IndexNotReadyError(f"{keyspace.schema.model}: the indexes change state faster than they can be read")


class Search:
    """The arguments of find.lua, of which only limit, offset and the place to resume change from call to call.

    `mode` is rows, keys or count; `limit` 0 streams everything in the driver's order; `wanted` are the fields whose sort
    keys are asked for; `ties` keeps a limited keys walk from stopping between equal values.
    """

    def __init__(
        self,
        keyspace: Keyspace,
        partition: int,
        query: Plan,
        *,
        mode: bytes,
        limit: int = 0,
        offset: int = 0,
        after: Position | None = None,
        wanted: Sequence[FieldSpec] = (),
        ties: bool = False,
    ) -> None:
        self.keyspace, self.partition, self.query = keyspace, partition, query
        self.limit, self.offset = limit, offset
        self._mode = mode
        self._wanted = [b"%d" % len(wanted)]
        for spec in wanted:
            self._wanted += (b"l" if spec.kind is Kind.TEXT else b"z", spec.name.encode())
        self._ties = _flag(ties)
        self._after: tuple[bytes, ...] = (b"0",) if after is None else (b"1", *after)
        self._resume: tuple[bytes, ...] = (b"", b"1", b"1", b"0", b"", b"", b"")
        self._examined = 0
        self._plan = _plan_words(query, keyspace.names if mode == b"rows" else (), limited=limit > 0)

    def go_on(self, head: Head) -> None:
        """Resume where `head` says the call stopped."""
        self._examined += head.examined
        place = (head.strategy, b"%d" % head.path, b"%d" % head.read, b"%d" % self._examined)
        self._resume = (*place, head.score, head.member, head.scan)

    def args(self, accepted: bytes) -> list[bytes]:
        """The script's ARGV."""
        keyspace = self.keyspace
        return [
            keyspace.bases[self.partition],
            keyspace.fingerprint,
            accepted,
            keyspace.int_keys,
            self._mode,
            b"%d" % self.limit,
            b"%d" % self.offset,
            b"%d" % BUDGET,
            b"%d" % BUDGET_MS,
            *_order_words(self.query),
            *self._wanted,
            self._ties,
            *self._after,
            *self._resume,
            *self._plan,
        ]


def _order_words(query: Plan) -> tuple[bytes, bytes, bytes]:
    primary = query.primary
    if primary is None:
        return (b"k", b"", b"0")
    kind = {Kind.KEY: b"k", Kind.TEXT: b"l"}.get(primary.field.kind, b"z")
    return (kind, primary.field.name.encode(), _flag(primary.descending))


def _plan_words(query: Plan, names: Sequence[bytes], *, limited: bool) -> list[bytes]:
    words = [b"%d" % len(names), *names, b"%d" % len(query.clauses)]
    for clause in query.clauses:
        words += program(clause)
    # a path without the records whose order column is None cannot answer for everything
    paths = [path for path in query.paths if limited or not path.valued]
    words.append(b"%d" % len(paths))
    for path in paths:
        words += (_flag(path.ordered), _flag(path.each), _flag(path.distinct), _flag(path.valued))
        words += (b"%d" % len(path.covers), *(b"%d" % (clause + 1) for clause in sorted(path.covers)))
        words += (b"%d" % len(path.reads), *(word for read in path.reads for word in read))
    return words


def _flag(value: bool) -> bytes:
    return b"1" if value else b"0"
