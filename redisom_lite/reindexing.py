"""Reindexing: records written before an index was declared, or by other programs, get their place in every index.

Online: a writer that knows the index keeps it up to date meanwhile; one that does not makes it dirty, and the run says
so in the end. Resumable: the place reached is stored with the model, for the declaration that is being built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeAlias, TypeVar

from redisom_lite.engine import inspection
from redisom_lite.engine.declare import declare
from redisom_lite.engine.inspection import PAGE
from redisom_lite.engine.scripts import load
from redisom_lite.errors import IndexNotReadyError
from redisom_lite.mending import mend
from redisom_lite.schema.record import Record
from redisom_lite.site import Site

M = TypeVar("M", bound=Record)

Progress: TypeAlias = Callable[[int, int | None], object]


async def reindex(site: Site[M], progress: Progress | None) -> int:
    """See `Manager.reindex`."""
    done = 0
    for partition in range(len(site.keyspace.bases)):
        await declare(site.store.transport, site.keyspace, partition, writer=True)
        await _ready(site, partition, begin=True)
        refused: Counter[str] = Counter()
        total = await _total(site, partition)
        async for members in _every_record(site, partition):
            refused += await mend(site, members)
            done += len(members)
            if progress is not None:
                progress(done, total)
        if refused:
            raise IndexNotReadyError(
                f"{site.name}: {_listed(refused)}: records that have the same value as another: "
                "change them, and run reindex() again"
            )
        waiting = await _ready(site, partition, begin=False)
        if waiting:
            raise IndexNotReadyError(
                f"{site.name}: {', '.join(waiting)} is written by a process that does not declare it so: "
                "stop or update that process, and run reindex() again"
            )
    if progress is not None:
        progress(done, done)
    return done


def _listed(refused: Counter[str]) -> str:
    return ", ".join(f"{field} of {count}" for field, count in sorted(refused.items()))


async def _every_record(site: Site[Any], partition: int) -> AsyncGenerator[list[bytes]]:
    """The members of all records: those registered, from where an earlier run stopped; then those nobody registered."""
    async for members in _resumed(site, partition):
        yield members
    async for suffixes in inspection.scan(site.store.transport, site.keyspace, partition):
        found = [
            inspection.member_of_record(site.keyspace, suffix)
            for suffix in suffixes
            if inspection.is_record(suffix)
        ]
        strangers = await _unregistered(site, partition, [member for member in found if member is not None])
        for first in range(0, len(strangers), PAGE):
            yield strangers[first : first + PAGE]


async def _resumed(site: Site[Any], partition: int) -> AsyncGenerator[list[bytes]]:
    """Registered members in key order, from where an earlier run of this declaration stopped."""
    keyspace = site.keyspace
    meta, own = keyspace.bases[partition] + b":meta", keyspace.fingerprint + b":"
    (cursor,) = await site.commands([(b"HGET", meta, b"cursor")])
    start = b"(" + cursor[len(own) :] if cursor is not None and cursor.startswith(own) else b"-"
    while True:
        words = (b"ZRANGEBYLEX", keyspace.registry(partition), start, b"+", b"LIMIT", b"0", b"%d" % PAGE)
        (members,) = await site.commands([words])
        if not members:
            return
        yield members
        start = b"(" + members[-1]
        await site.commands([(b"HSET", meta, b"cursor", own + members[-1])])


async def _unregistered(site: Site[Any], partition: int, members: list[bytes]) -> list[bytes]:
    if not members:
        return []
    (scores,) = await site.commands([(b"ZMSCORE", site.keyspace.registry(partition), *members)])
    return [member for member, score in zip(members, scores, strict=True) if score is None]


async def _total(site: Site[Any], partition: int) -> int:
    (total,) = await site.commands([(b"ZCARD", site.keyspace.registry(partition))])
    return int(total)


async def _ready(site: Site[Any], partition: int, *, begin: bool) -> list[str]:
    keyspace = site.keyspace
    waiting = await site.store.transport.call(
        load("ready"),
        [keyspace.registry(partition)],
        [
            keyspace.bases[partition],
            b"1" if begin else b"0",
            keyspace.fingerprint,
            len(keyspace.indexes),
            *(word for pair in keyspace.indexes.items() for word in pair),
        ],
    )
    return [name.decode() for name in waiting]
