"""Making a record on one server what it is on another: value, indexes, and what remains of its lifetime.

A copy carries the source's present state, not a change, so it may be made twice, late, or by several at once: after
writing, each copier looks at the source once more and copies again what has changed meanwhile. So whoever wrote last
has seen the newest state. Fields the class does not know are copied too; versions count on each server by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redisom_lite.engine.administration import unrefused
from redisom_lite.engine.hydrate import hydrating
from redisom_lite.engine.step import Applied, Change
from redisom_lite.engine.store import Store
from redisom_lite.engine.writer import error_of
from redisom_lite.errors import ConflictError, RedisomError
from redisom_lite.schema import lifetime as lifetimes, mutations
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.mutations import Mutation
from redisom_lite.schema.record import Record

_RESERVED: Final = (b"_ix", b"_null", b"_v")
_ENDLESS: Final = -1
_TRIES: Final = 20
_PUNCTUAL_TRIES: Final = 3
_STEP: Final = 200
_OWNERS: Final = 50
TOLERANCE: Final = 100
"""By how many ms the ends of two copies may differ and still count as the same."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in ms of this process's clock, known to within `slack` ms: a server's answer was made while it travelled.

    Clocks of servers are never compared.
    """

    at: float
    slack: float

    def near(self, other: Moment) -> bool:
        return abs(self.at - other.at) <= TOLERANCE + self.slack + other.slack


def since(asked: float) -> Moment:
    """When the server answered what was asked at `asked` and has just been received."""
    received = now()
    return Moment((asked + received) / 2, (received - asked) / 2)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stored record: its texts by hash field, the names of its None fields, and when it ends (None: never)."""

    texts: dict[bytes, bytes]
    nulls: tuple[bytes, ...]
    ends: Moment | None

    def same(self, other: Snapshot | None) -> bool:
        """Whether another holds the same values and ends at the same time, give or take `TOLERANCE`."""
        return other is not None and self.same_value(other) and same_end(self.ends, other.ends)

    def same_value(self, other: Snapshot) -> bool:
        return self.texts == other.texts and self.nulls == other.nulls

    def lifetime(self) -> bytes:
        return (
            lifetimes.FOREVER if self.ends is None else lifetimes.exactly(max(1, round(self.ends.at - now())))
        )


def same_end(one: Moment | None, other: Moment | None) -> bool:
    return one is other if one is None or other is None else one.near(other)


def now() -> float:
    """This process's clock, in ms."""
    return time.monotonic() * 1000


@dataclass(slots=True)
class Copied:
    """What became of the records to copy: how many are the same now, and why the others are not."""

    done: int = 0
    failed: dict[bytes, RedisomError] = field(default_factory=dict[bytes, RedisomError])


async def look(store: Store, keyspace: Keyspace, members: Sequence[bytes]) -> list[Snapshot | None]:
    """Records as they are stored; None where there is none. Redis: HGETALL and PTTL of each, in one round trip."""
    found: list[Snapshot | None] = []
    for at in range(0, len(members), _STEP):
        keys = [keyspace.record_key(member) for member in members[at : at + _STEP]]
        commands = [(name, key) for key in keys for name in (b"HGETALL", b"PTTL")]
        asked = now()
        replies = unrefused(await store.transport.commands(commands, retry=True))
        answered = since(asked)
        for flat, left in zip(replies[::2], replies[1::2], strict=True):
            found.append(_snapshot(flat, left, answered))
    return found


def _snapshot(flat: Any, left: int, answered: Moment) -> Snapshot | None:
    # the record may have ended between the two commands
    if not flat or left < _ENDLESS:
        return None
    texts: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
    nulls = tuple(name for name in texts.get(b"_null", b"").split(b",") if name)
    plain = {name: text for name, text in texts.items() if name not in _RESERVED}
    return Snapshot(plain, nulls, None if left == _ENDLESS else Moment(answered.at + left, answered.slack))


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where records of one model are copied."""

    model: type[Record]
    source: Store
    target: Store

    async def copy(self, members: Iterable[bytes], *, only_absent: bool = False) -> Copied:
        """Make these records on the target what they are on the source; `only_absent`: those it does not have."""
        copied = Copied()
        waiting = list(dict.fromkeys(members))
        for at in range(0, len(waiting), _STEP):
            await self._copy(waiting[at : at + _STEP], only_absent, copied)
        return copied

    async def _copy(self, members: list[bytes], only_absent: bool, copied: Copied) -> None:
        began = now()
        seen = await self._look(self.source, members)
        for attempt in range(_TRIES):
            await self._write(seen, only_absent, copied)
            held_up = now() - began > TOLERANCE
            began = now()
            again = await self._look(self.source, [member for member in seen if member not in copied.failed])
            changed = {member: each for member, each in again.items() if not _equal(each, seen[member])}
            if held_up and attempt < _PUNCTUAL_TRIES and not only_absent:
                changed |= await self._late(again)
            copied.done += len(again) - len(changed)
            if not changed or only_absent:
                return
            seen = changed
        for member in seen:
            copied.failed[member] = ConflictError(
                f"{self.model.__name__}: the record changes faster than it is copied"
            )

    async def _look(self, store: Store, members: list[bytes]) -> dict[bytes, Snapshot | None]:
        return dict(zip(members, await look(store, self.keyspace(store), members), strict=True))

    async def _late(self, wanted: dict[bytes, Snapshot | None]) -> dict[bytes, Snapshot]:
        """Those that end at another time on the target: what remained of them was long on its way."""
        mortal = {m: each for m, each in wanted.items() if each is not None and each.ends is not None}
        there = await self._look(self.target, [*mortal])
        return {
            member: each
            for member, each in mortal.items()
            if (other := there[member]) is not None and not same_end(each.ends, other.ends)
        }

    async def _write(self, seen: dict[bytes, Snapshot | None], only_absent: bool, copied: Copied) -> None:
        keyspace = self.keyspace(self.target)
        parts: dict[int, list[Mutation]] = {}
        for member, snapshot in seen.items():
            if snapshot is None and only_absent:
                continue
            try:
                mutation = self._mutation(member, snapshot, only_absent)
                parts.setdefault(keyspace.partition(member), []).append(mutation)
            except (RedisomError, ValueError) as error:  # undecodable, or without a place in its index
                copied.failed[member] = _known(error)
        for part in parts.values():
            applied = await self._apply(part, each=True)
            for failure in applied.failures:
                member = part[failure.position].member
                if failure.code == "unique":
                    await self._with_owners(member, [failure.details[1]], copied)
                elif failure.code != "exists":
                    copied.failed[member] = error_of(keyspace, failure)

    async def _with_owners(self, member: bytes, owners: list[bytes], copied: Copied) -> None:
        """Copy a record together with those that had its unique values on the target: values may have changed hands."""
        source, target = self.keyspace(self.source), self.keyspace(self.target)
        group = [*owners, member]
        while len(group) <= _OWNERS:
            seen = dict(zip(group, await look(self.source, source, group), strict=True))
            try:
                await self._apply(
                    [self._mutation(one, snapshot, False) for one, snapshot in seen.items()], each=False
                )
                return
            except RedisomError as error:
                owner = getattr(error, "value_owner_pk", None)
                found = None if owner is None else target.schema.key.codec.member(owner)
                if found is None or found in group:
                    copied.failed[member] = error
                    return
                group.insert(0, found)
        copied.failed[member] = ConflictError(
            f"{self.model.__name__}: too many unique values changed hands: verify again"
        )

    async def _apply(self, part: Sequence[Mutation], *, each: bool) -> Applied:
        keyspace = self.keyspace(self.target)
        changes: list[Change] = [(keyspace, mutation) for mutation in part]
        return await self.target.backend.writer.apply(changes, each=each)

    def keyspace(self, store: Store) -> Keyspace:
        return store.keyspace(self.model.__redisom_schema__)

    def _mutation(self, member: bytes, snapshot: Snapshot | None, only_absent: bool) -> Mutation:
        if snapshot is None:
            return mutations.remove(member)
        keyspace = self.keyspace(self.source)
        record = self.object(member, snapshot)
        return mutations.copy(
            keyspace.schema,
            member,
            record.__dict__,
            snapshot.texts,
            snapshot.nulls,
            only_if_absent=only_absent,
            lifetime=snapshot.lifetime(),
        )

    def object(self, member: bytes, snapshot: Snapshot) -> Any:
        """The object a snapshot stands for. Of a versioned model its version is none that a record can have."""
        keyspace = self.keyspace(self.source)
        stored = {**snapshot.texts, b"_null": b",".join(snapshot.nulls), b"_v": b"-1"}
        row = keyspace.whole(member, [stored.get(name) for name in keyspace.names])
        return hydrating(self.model, keyspace, getattr(self.model, "objects"))(row or [])  # noqa: B009


def _equal(one: Snapshot | None, other: Snapshot | None) -> bool:
    return one is other if one is None or other is None else one.same(other)


def _known(error: Exception) -> RedisomError:
    if isinstance(error, RedisomError):
        return error
    known = ConflictError(
        "a stored value has no place in its index: repair the record on the server it comes from"
    )
    known.__cause__ = error
    return known
