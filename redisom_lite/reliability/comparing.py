"""Comparing a model on two servers: by a digest for each range of keys, and record by record only where two differ.

A range is 500 keys in key order. Equal digests mean equal values; ends of lifetimes are compared by their sum over the
range, so that one record of a range is found when its end is off by more than 100 ms times the records with an end.
What a digest cannot see are records that the primary's registry does not list (written by other programs: `reindex`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Final

from redisom_lite.engine.node import Arg
from redisom_lite.engine.scripts import load
from redisom_lite.engine.store import Store
from redisom_lite.errors import ConstraintError, RedisomError
from redisom_lite.reliability.copying import Moment, Snapshot, Way, look, now, same_end, since
from redisom_lite.schema.keyspace import Keyspace

RANGE: Final = 500
_EXAMPLES: Final = 20
_PAUSE: Final = 0.05


@dataclass(slots=True)
class Verification:
    """What a comparison found: records `compared` in `ranges`, of which `differing` had to be looked into.

    Records `missing` on the backup, `extra` there, of `different` value, and with another end (`lifetimes`). `repaired`
    of them are the same now; `errors` has why others are not, and `examples` up to 20 primary keys of what was found.
    """

    compared: int = 0
    ranges: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    lifetimes: int = 0
    repaired: int = 0
    examples: list[Any] = field(default_factory=list[Any])
    errors: list[RedisomError] = field(default_factory=list[RedisomError])

    @property
    def differences(self) -> int:
        """Records found to differ, repaired or not."""
        return self.missing + self.extra + self.different + self.lifetimes

    @property
    def ok(self) -> bool:
        """Whether both servers now hold the same."""
        return self.differences == self.repaired


@dataclass(frozen=True, slots=True)
class _Digest:
    """What a server held in a range at a moment; `left` is the sum of the remaining lifetimes, in ms."""

    last: bytes
    looked: int
    live: int
    digest: bytes
    mortal: int
    left: float
    when: Moment

    def same(self, other: _Digest) -> bool:
        if (self.live, self.digest, self.mortal) != (other.live, other.digest, other.mortal):
            return False
        if not self.mortal:
            return True
        # the mean end of the range, as each server tells it
        mean = Moment(self.when.at + self.left / self.mortal, self.when.slack)
        return mean.near(Moment(other.when.at + other.left / other.mortal, other.when.slack))


async def verify(way: Way, *, repair: bool) -> Verification:
    """Compare `way.source` with `way.target`, and make the target equal where it is not."""
    found = Verification()
    source, target = way.keyspace(way.source), way.keyspace(way.target)
    for partition in range(len(source.bases)):
        if repair:
            await _refuse_wiping(way, partition)
        after, last = b"-", b""
        while last != b"+":
            here = await _digest(way.source, source, partition, after, b"+", RANGE)
            last = b"+" if here.looked < RANGE else b"[" + here.last
            there = await _digest(way.target, target, partition, after, last, 2 * RANGE)
            found.ranges += 1
            found.compared += here.live
            if not here.same(there):
                found.differing += 1
                await _look_into(way, await _suspects(way, partition, after, last), found, repair=repair)
            after = b"(" + here.last
    return found


async def _refuse_wiping(way: Way, partition: int) -> None:
    """An empty primary beside a full backup has lost its data: to make them equal would lose the rest."""
    sizes: list[int] = []
    for store in (way.source, way.target):
        digest = await _digest(store, way.keyspace(store), partition, b"-", b"+", RANGE)
        sizes.append(digest.live)
    if sizes[1] and not sizes[0]:
        raise ConstraintError(
            f"{way.model.__name__}: the primary has no record and the backup has: restore() brings them back, "
            "verify(repair=True) would delete them"
        )


async def _digest(
    store: Store, keyspace: Keyspace, partition: int, after: bytes, last: bytes, limit: int
) -> _Digest:
    asked = now()
    reply = await _ask(store, keyspace, partition, after, last, limit, b"range")
    member, looked, live, digest, mortal, left = reply
    return _Digest(member, looked, live, digest, mortal, float(left), since(asked))


async def _ask(
    store: Store, keyspace: Keyspace, partition: int, after: bytes, last: bytes, limit: int, mode: bytes
) -> Any:
    args: list[Arg] = [keyspace.bases[partition], keyspace.int_keys, after, last, limit, mode]
    return await store.transport.call(load("digest"), [keyspace.registry(partition)], args)


async def _suspects(way: Way, partition: int, after: bytes, last: bytes) -> list[bytes]:
    """The members of a range whose digests or ends differ, missing ones among them."""
    here = await _each(way.source, way.keyspace(way.source), partition, after, last)
    there = await _each(way.target, way.keyspace(way.target), partition, after, last)
    nothing = (b"", None)
    return sorted(
        member
        for member in here.keys() | there.keys()
        if not _alike(here.get(member, nothing), there.get(member, nothing))
    )


def _alike(one: tuple[bytes, Moment | None], other: tuple[bytes, Moment | None]) -> bool:
    return one[0] == other[0] and same_end(one[1], other[1])


async def _each(
    store: Store, keyspace: Keyspace, partition: int, after: bytes, last: bytes
) -> dict[bytes, tuple[bytes, Moment | None]]:
    """Digest and end of each record of a range."""
    found: dict[bytes, tuple[bytes, Moment | None]] = {}
    async for answered, flat in _pages(store, keyspace, partition, after, last):
        for member, digest, left in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            found[member] = (digest, None if left < 0 else Moment(answered.at + left, answered.slack))
    return found


async def _pages(
    store: Store, keyspace: Keyspace, partition: int, after: bytes, last: bytes
) -> AsyncGenerator[tuple[Moment, list[Any]]]:
    while True:
        asked = now()
        member, looked, flat = await _ask(store, keyspace, partition, after, last, RANGE, b"each")
        yield since(asked), flat
        if looked < RANGE:
            return
        after = b"(" + member


async def members(store: Store, keyspace: Keyspace) -> AsyncGenerator[list[bytes]]:
    """The keys of all live records, page by page."""
    for partition in range(len(keyspace.bases)):
        async for _, flat in _pages(store, keyspace, partition, b"-", b"+"):
            yield flat[::3]


Pair = tuple[bytes, Snapshot | None, Snapshot | None]


async def _look_into(way: Way, suspects: list[bytes], found: Verification, *, repair: bool) -> None:
    """Judge suspects by their own keys; a write on its way to the backup gets a moment to arrive."""
    if not await _unequal(way, suspects):
        return
    await asyncio.sleep(_PAUSE)
    unequal = await _unequal(way, suspects)
    for member, here, there in unequal:
        _count(here, there, found)
        if len(found.examples) < _EXAMPLES:
            found.examples.append(way.keyspace(way.source).schema.key.codec.of_member(member))
    if repair:
        wrong = [member for member, _, _ in unequal]
        copied = await way.copy(wrong)
        found.repaired += len(wrong) - len(await _unequal(way, wrong))
        found.errors += copied.failed.values()


async def _unequal(way: Way, suspects: list[bytes]) -> list[Pair]:
    here = await look(way.source, way.keyspace(way.source), suspects)
    there = await look(way.target, way.keyspace(way.target), suspects)
    return [
        (member, one, other)
        for member, one, other in zip(suspects, here, there, strict=True)
        if not (one.same(other) if one is not None else other is None)
    ]


def _count(here: Snapshot | None, there: Snapshot | None, found: Verification) -> None:
    if here is None:
        found.extra += 1
    elif there is None:
        found.missing += 1
    elif not here.same_value(there):
        found.different += 1
    else:
        found.lifetimes += 1
