"""What find.lua is asked: its arguments, of which few change from call to call, and where the last call stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from redisom_lite.plan.marks import Template, told
from redisom_lite.plan.ordering import Position
from redisom_lite.plan.planner import together
from redisom_lite.plan.prepared import Prepared
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import FieldSpec, Kind
from redisom_lite.words import Words, number, packed


@dataclass(slots=True)
class Budget:
    """What one call may take: index entries examined, and milliseconds of the server's processor."""

    entries: int = 4000
    ms: float = 2.5


class Head(NamedTuple):
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
    total: int


class Search:
    """The arguments of find.lua, of which only limit, offset and the place to resume change from call to call.

    `mode` is one of the script's; `few` comes with the rows that `planner.together` allows. `limit` 0 streams
    everything in the driver's order; `names` are the hash fields of a row (None: all); `wanted` the fields whose sort
    keys (tokens, for a tag) are asked for; `ties` keeps a limited keys walk from stopping between equal values;
    `verify` looks whether each record is there; `stream` names the path to read all of.
    """

    def __init__(
        self,
        keyspace: Keyspace,
        partition: int,
        query: Prepared,
        *,
        mode: bytes,
        limit: int = 0,
        offset: int = 0,
        after: Position | None = None,
        names: tuple[bytes, ...] | None = None,
        wanted: Sequence[FieldSpec] = (),
        ties: bool = False,
        verify: bool = False,
        ordered: bool = True,
        stream: int | None = None,
    ) -> None:
        self.keyspace, self.partition, self.query = keyspace, partition, query
        self.limit, self.offset = limit, offset
        self._examined = 0
        self._mode, self._most = mode, together(limit)
        self.packs = mode == b"few"
        """Whether rows may come as one word each; not when there are texts that hold what separates texts."""
        self._names = names
        self._order = query.statement.order if ordered else _NO_ORDER
        self._wanted = _wanted_words(wanted) if wanted else _NOTHING
        self._options = (ties, verify)
        self._after = _NONE if after is None else Words.of((b"1", *after))
        self._resume = _START if stream is None else Words.of((b"S", b"%d" % stream, *_BEGINNING))
        # a path without the records whose order column is None cannot answer for everything
        self._plan, self._operands = query.words(every=limit > 0)

    @property
    def width(self) -> int:
        """How many texts a row has."""
        return len(self.keyspace.names if self._names is None else self._names)

    def go_on(self, head: Head) -> None:
        """Resume where `head` says the call stopped."""
        self._examined += head.examined
        place = (head.strategy, b"%d" % head.path, b"%d" % head.read, b"%d" % self._examined)
        self._resume = Words.of((*place, head.score, head.member, head.scan))

    def args(self, accepted: bytes, budget: Budget) -> Words:
        """The script's ARGV."""
        after, resume, operands = self._after, self._resume, self._operands
        # the server takes its time with long lists before the script runs
        ms = max(_LEFT * budget.ms, budget.ms - operands.length / _WORDS_PER_MS)
        mode = b"rows" if self._mode == b"few" and not self.packs else self._mode
        pieces = [
            _statement(
                self.keyspace,
                self.partition,
                (mode, b"%d" % self._most, b"%d" % budget.entries),
                self._order,
                self._wanted,
                self._options,
                self._names,
                self._plan,
            ),
            piece(accepted),
            number(self.limit),
            number(self.offset),
            piece(b"%.1f" % ms),
            *after.pieces,
            *resume.pieces,
            *operands.pieces,
        ]
        return Words(5 + after.length + resume.length + operands.length, pieces)


piece: Final = lru_cache(256)(packed)
"""A piece of words of which there are few."""


@lru_cache(1024)
def _statement(
    keyspace: Keyspace,
    partition: int,
    mode: tuple[bytes, ...],
    order: tuple[bytes, ...],
    wanted: tuple[bytes, ...],
    options: tuple[bool, bool],
    names: tuple[bytes, ...] | None,
    plan: Template | None,
) -> bytes:
    """What all calls of a shape have in common: the one word, packed, that statements.lua parses."""
    if mode[0] not in _WITH_ROWS:
        names = ()
    elif names is None:
        names = keyspace.names
    words = (
        *(keyspace.bases[partition], keyspace.fingerprint, keyspace.int_keys, *mode, *order),
        *(b"%d" % (len(wanted) // 2), *wanted, *(b"%d" % option for option in options)),
        *(b"%d" % len(names), *names),
    )
    return packed(told(words) + (b"" if plan is None else plan.told))


_WORDS_PER_MS = 4000
_LEFT = 0.4  # of the time, however long the lists
_WITH_ROWS: Final = (b"few", b"rows")
_NOTHING: Final[tuple[bytes, ...]] = ()
_NONE: Final = Words.of((b"0",))
_BEGINNING: Final = (b"1", b"0", b"", b"", b"")
_START: Final = Words.of((b"",))
_NO_ORDER: Final = (b"n", b"", b"0")
_WANTED = {Kind.TEXT: b"l", Kind.TAG: b"t"}


def _wanted_words(wanted: Sequence[FieldSpec]) -> tuple[bytes, ...]:
    return tuple([word for spec in wanted for word in (_WANTED.get(spec.kind, b"z"), spec.word)])
