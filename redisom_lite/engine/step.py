"""A step: mutations that travel together, as apply.lua reads them, and what it answers.

What a step asks for is packed once; each time it is sent it gets an operation token, by which the script knows a
repetition, and the answers to forget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.mutations import Mutation
from redisom_lite.words import WORD, Words, number, packed

Change: TypeAlias = tuple[Keyspace, Mutation]
Place: TypeAlias = tuple[Keyspace, int]
"""A partition of a model."""

SWEPT: Final = 16
"""How many overdue records a step cleans up in passing."""

_TOKEN: Final = WORD + WORD + b"%b%b"
_ONE: Final = number(1)
_SWEPT: Final = number(SWEPT)
_EACH: Final = packed(b"each")
_ALL: Final = packed(b"all")
_ALONE: Final = packed(b"one")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one mutation was refused: its position in the step, and the script's code and details."""

    position: int
    code: str
    details: tuple[bytes, ...]


class Applied(NamedTuple):
    """What a step did: each mutation's result in order, and the failures (mode "each" only)."""

    results: Sequence[Any]
    failures: Sequence[Failure] = ()


_ONE_DONE: Final = Applied((1,))


class Step:
    """Mutations on their way to the server: the models and record keys they name, each once.

    `also` is a partition to sweep though no mutation is about it.
    """

    def __init__(
        self,
        changes: Sequence[Change],
        *,
        each: bool = False,
        sweep: int = SWEPT,
        also: Place | None = None,
    ) -> None:
        self.changes = changes
        self.models: list[Place] = []
        self.keys: list[bytes] = []
        self._mode = _EACH if each else _ALL
        if len(changes) == 1 and sweep == SWEPT and not each:
            self._alone(*changes[0])
        else:
            self._together(sweep, also)
        keyspace, partition = self.models[0]
        self.base = keyspace.bases[partition]
        """That of the model whose tokens of operations are asked."""

    def _alone(self, keyspace: Keyspace, mutation: Mutation) -> None:
        """One mutation: what most steps are, in a third of the time."""
        name, member, args = mutation
        partition, key = keyspace.locate(member)
        self.models.append((keyspace, partition))
        self.keys.append(key)
        self._mode = _ALONE
        self._words = 4 + args.length
        model, operation = keyspace.declarations[partition], WORD % (len(name), name)
        self._pieces = [model, _SWEPT, WORD % (len(member), member), operation, *args.pieces]

    def _together(self, sweep: int, also: Place | None) -> None:
        models: dict[Place, tuple[bytes, dict[bytes, tuple[bytes, bytes]]]] = {}
        if also is not None:
            models[also] = _ONE, {}
        words, pieces = 0, list[bytes]()
        for keyspace, mutation in self.changes:
            name, member, args = mutation
            partition, key = keyspace.locate(member)
            place = keyspace, partition
            model, records = models.get(place) or models.setdefault(place, (number(len(models) + 1), {}))
            if key not in records:
                records[key] = number(len(records) + 1), WORD % (len(member), member)
            pieces += (WORD % (len(name), name), model, records[key][0], *args.pieces)
            words += 3 + args.length
        self._pieces = [number(len(models))]
        self._words = 2 + words
        for (keyspace, partition), (_, records) in models.items():
            self._pieces += (number(len(records)), keyspace.declarations[partition], number(sweep))
            self._words += 3 + len(records)
            self.models.append((keyspace, partition))
            self.keys += records
        self._pieces += [member for _, records in models.values() for _, member in records.values()]
        self._pieces += (number(len(self.changes)), *pieces)

    def keyspace_of(self, failure: Failure) -> Keyspace:
        return self.changes[failure.position][0]

    def args(self, stamp: bytes, operation: bytes, window: bytes, acknowledged: Sequence[bytes]) -> Words:
        """The script's ARGV; `window`, and what is acknowledged, are packed."""
        token = _TOKEN % (len(stamp), stamp, len(operation), operation, window, self._mode)
        pieces = [token, number(len(acknowledged)), *acknowledged, *self._pieces]
        return Words(5 + len(acknowledged) + self._words, pieces)

    def applied(self, reply: Sequence[Any]) -> Applied:
        if len(reply) == 1:
            return _ONE_DONE if len(self.changes) == 1 else Applied([1] * len(self.changes))
        if reply[0] == b"F":
            return Applied([1] * len(self.changes), [_failure(entry) for entry in reply[1]])
        return Applied(reply[1], [_failure(entry) for entry in reply[2]] if reply[2] else ())


class Sending(NamedTuple):
    """A step as it is sent once: its token (stamp and operation) and the script's ARGV."""

    step: Step
    stamp: bytes
    operation: bytes
    args: Words


def kept(reply: Sequence[Any]) -> bytes | None:
    """How apply.lua keeps a reply behind its operation token; None where it keeps nothing."""
    return reply[3] if len(reply) > 1 else b""


def _failure(entry: Sequence[Any]) -> Failure:
    return Failure(entry[0] - 1, entry[1].decode(), tuple(entry[2:]))


def recalled(answer: bytes) -> Any:
    """The reply that apply.lua kept so."""
    return [*_recall(answer, 0)[0], answer] if answer else [b"O"]


def _recall(text: bytes, at: int) -> tuple[Any, int]:
    colon = text.index(b":", at)
    kind, size, start = text[at : at + 1], int(text[at + 1 : colon]), colon + 1
    if kind == b"[":
        items: list[Any] = []
        for _ in range(size):
            item, start = _recall(text, start)
            items.append(item)
        return items, start
    part = text[start : start + size]
    return (int(part) if kind == b"#" else part), start + size
