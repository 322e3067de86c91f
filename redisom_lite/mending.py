"""Indexing records anew from what they hold: what a repair and a reindex do, a bounded run of records at a time."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, TypeVar

from redisom_lite.errors import DecodeError
from redisom_lite.schema import mutations
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.mutations import Row
from redisom_lite.schema.record import Record, state_of
from redisom_lite.site import Site

M = TypeVar("M", bound=Record)

_TRIES: Final = 20
_EACH: Final = 4  # times as long as writing a record takes indexing it anew


async def mend(site: Site[M], members: list[bytes]) -> Counter[str]:
    """Index records anew from what they hold; those that change meanwhile are read again.

    Records whose stored text does not decode stay as they are: `check` shows them. So do those whose unique value
    another has; the fields in question are counted.
    """
    refused: Counter[str] = Counter()
    async for part in site.steps(members, share=1 / _EACH):
        refused += await _mend(site, part)
    return refused


async def _mend(site: Site[M], members: list[bytes]) -> Counter[str]:
    refused: Counter[str] = Counter()
    for _ in range(_TRIES):
        rows = await site.store.backend.reader.load(site.keyspace, members)
        found = (_mending(site, member, row) for member, row in zip(members, rows, strict=True))
        batch = [mutation for mutation in found if mutation is not None]
        if not batch:
            break
        applied = await site.apply(batch)
        failed = {failure.position: failure for failure in applied.failures}
        refused.update(failure.details[0].decode() for failure in failed.values() if failure.code == "unique")
        members = [
            mutation.member
            for number, mutation in enumerate(batch)
            if mutation.name == b"mend" and number not in failed and applied.results[number] == 0
        ]
        if not members:
            break
    return refused


def _mending(site: Site[M], member: bytes, row: Row | None) -> mutations.Mutation | None:
    """What makes the indexes say what a record does; None for one that does not decode."""
    if row is None:
        return mutations.look(member, site.keyspace.tags)
    absent = _absent(site.keyspace, row)
    try:
        record = site.object(row)
        state: Any = state_of(record)
        return mutations.mend(site.schema, member, record.__dict__, state.row, absent)
    except (DecodeError, ValueError):
        return None


def _absent(keyspace: Keyspace, row: list[bytes | None]) -> list[str]:
    """The fields a record lacks, as opposed to those whose value is None."""
    width = len(keyspace.schema.fields)
    nulls = (row[width] or b"").split(b",")
    names = zip(keyspace.field_names, row[:width], strict=True)
    return [name for name, text in names if text is None and name.encode() not in nulls]
