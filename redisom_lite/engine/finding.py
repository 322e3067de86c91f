"""Runs of find.lua over one partition: calls and their replies, until a search is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from redisom_lite.engine.declare import declaration, require_ready, state_of, waiting
from redisom_lite.engine.node import Arg
from redisom_lite.engine.scripts import load
from redisom_lite.engine.search import Budget, Head, Search, piece
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import AccessDeniedError, IndexNotReadyError, ReadOnlyError, RedisomError
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.words import Words

Row = list[bytes | None]


class Reply(NamedTuple):
    """One call's answer."""

    head: Head
    members: list[bytes]
    keys: list[Any]
    rows: list[Row]
    doubtful: list[bytes]


@dataclass(frozen=True, slots=True)
class Decision:
    """How the server would begin: strategy `W` walk, `G` gather, `S` stream, `K` keys first; sizes by path."""

    strategy: str
    path: int
    total: int
    overdue: int
    sizes: tuple[int, ...]


def added_up(decisions: Sequence[Decision]) -> Decision:
    """The decision of the first of several slices, with the sizes of all."""
    first, *more = decisions
    if not more or first.strategy == "K":
        return first
    sizes = tuple(map(sum, zip(*(each.sizes for each in decisions), strict=True)))
    return Decision(first.strategy, first.path, first.total, first.overdue, sizes)


@dataclass(slots=True)
class Trace:
    """What answering took, for `explain(analyze=True)`: calls made, round trips, and what each call did."""

    calls: int = 0
    heads: list[Head] = field(default_factory=list[Head])


class KeysNeededError(Exception):
    """The rows cannot be walked or gathered in order within one call: sort keys first. Never leaves the engine.

    `path` is the path to read all of, or None where walking by keys may still be best.
    """

    def __init__(self, path: int | None = None) -> None:
        super().__init__()
        self.path = path


class Finder:
    """Runs find.lua for one database, and knows which index states the server and this process agreed on.

    `overdue` collects where records were met that a write should clean up.
    """

    def __init__(
        self, transport: Callable[[], Transport], budget: Budget, overdue: set[tuple[Keyspace, int]]
    ) -> None:
        self._transport = transport
        self._budget = budget
        self._overdue = overdue
        self._accepted: dict[tuple[bytes, bytes], bytes] = {}

    async def ask(self, search: Search, trace: Trace | None = None) -> Reply:
        """One call. The search goes on where it stopped; the caller may lower its `limit` and `offset` before."""
        reply = await self._call(search, trace)
        if reply[0] == b"K":
            raise KeysNeededError
        if reply[0] == b"G":
            raise KeysNeededError(reply[1])
        head = Head(*reply[1])
        _, _, members, keys, rows, doubtful = reply
        if rows and search.packs:
            rows = _unpacked(rows, search.width)
            if rows is None:
                search.packs = False
                return await self.ask(search, trace)
        if trace is not None:
            trace.heads.append(head)
        if head.overdue:
            self._overdue.add((search.keyspace, search.partition))
        if head.more:
            search.go_on(head)
        return Reply(head, members, keys, rows, doubtful)

    async def run(self, search: Search, trace: Trace | None = None) -> AsyncGenerator[Reply]:
        """Ask until the search is done.

        A search for everything calls ahead: the server works on the next run while this side works on the last.
        """
        ahead: asyncio.Task[Reply] | None = None
        limited = search.limit > 0
        try:
            while True:
                reply = await (self.ask(search, trace) if ahead is None else ahead)
                if reply.head.more and not search.limit:
                    ahead = asyncio.create_task(self.ask(search, trace))
                    await asyncio.sleep(0)  # let it be sent
                yield reply
                if not reply.head.more or (limited and not search.limit):
                    return
        finally:
            if ahead is not None and not ahead.done():
                ahead.cancel()

    async def decide(self, search: Search) -> Decision:
        """What the server would do for a search of mode `plan`."""
        reply = await self._call(search, None)
        if reply[0] == b"K":
            return Decision("K", 0, 0, 0, ())
        return Decision(reply[1].decode(), reply[2], reply[3], reply[4], tuple(reply[5]))

    async def tell(self, keyspace: Keyspace, partition: int, told: Words, trace: Trace | None) -> int | None:
        """A count that cardinalities alone may answer; None when they do not."""
        base = keyspace.bases[partition]
        if self._accepted.get((base, keyspace.fingerprint), b""):
            return None
        if trace is not None:
            trace.calls += 1
        args = Words(3 + told.length, [piece(base, keyspace.fingerprint, b""), *told.pieces])
        reply = await self._transport().call(load("tell"), [keyspace.registry(partition)], args)
        return None if reply is None else int(reply)

    async def _call(self, search: Search, trace: Trace | None) -> Any:
        keyspace, transport, script = search.keyspace, self._transport(), load("find")
        known = (keyspace.bases[search.partition], keyspace.fingerprint)
        key = keyspace.registry(search.partition)
        for _ in range(4):
            if trace is not None:
                trace.calls += 1
            accepted = self._accepted.get(known, b"")
            if accepted and accepted != b"*" and waiting(accepted, search.query.statement.indexes):
                accepted = b""  # what another query could live with; the server says whether it still is so
            reply = await transport.call(script, [key], search.args(accepted, self._budget))
            if reply[0] != b"M":
                return reply
            state, reply = reply[1], None
            if state is None:
                if trace is not None:
                    trace.calls += 1
                state, reply = await self._declare_and_call(search)
            if state != b"*":
                require_ready(keyspace, state, search.query.statement.indexes)
            self._accepted[known] = state
            if reply is not None and reply[0] != b"M":
                return reply
        raise IndexNotReadyError(
            f"{keyspace.schema.model}: the indexes change state faster than they can be read"
        )

    async def _declare_and_call(self, search: Search) -> tuple[bytes, Any]:
        """Register the declaration and ask, in one round trip; the state, and the reply if it took that for granted."""
        keyspace, key = search.keyspace, search.keyspace.registry(search.partition)
        words = declaration(keyspace, search.partition, writer=False)
        commands: list[Sequence[Arg]] = [
            (b"EVAL", load("declare").text, 1, key, *words),
            (b"EVAL", load("find").text, 1, key, *search.args(b"", self._budget)),
        ]
        declared, reply = await self._transport().commands(commands, retry=True)
        if isinstance(declared, AccessDeniedError | ReadOnlyError):
            return b"*", None  # a replica, or a user who may only read: the writers answer for the indexes
        for each in (declared, reply):
            if isinstance(each, RedisomError):
                raise each
        return state_of(keyspace, declared), reply


_SEPARATOR: Final = b"\xff\x00"


def _unpacked(rows: list[Any], width: int) -> list[Row] | None:
    """Rows out of the words that some travelled as; None where a text holds the separator."""
    found: list[Row]
    try:
        found = [row.split(_SEPARATOR) for row in rows]
    except AttributeError:  # a list
        found = [row if isinstance(row, list) else row.split(_SEPARATOR) for row in rows]
    return found if set(map(len, found)) == {width} else None
