"""Saving and deleting many records: steps of bounded size, the next one encoded while the last is under way.

At most one step is under way, so that the order of the objects is the order of the writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

from redisom_lite.engine.writer import Applied, error_of
from redisom_lite.errors import BulkError, QueryError, RedisomError
from redisom_lite.saving import save_mutation, written
from redisom_lite.schema.lifetime import Lifetime
from redisom_lite.schema.mutations import Mutation, Row, remove
from redisom_lite.schema.record import Record
from redisom_lite.site import Site

M = TypeVar("M", bound=Record)

Progress: TypeAlias = Callable[[int, int | None], object]

_STEP_BYTES = 1 << 20
_STEP_WORDS = 5000


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An object ready to be written: its position among all, its mutation, the row it will have."""

    position: int
    record: Any
    mutation: Mutation
    row: Row


async def save_many(
    site: Site[M],
    objects: Iterable[M],
    *,
    ttl: Lifetime | None,
    batch_size: int,
    progress: Progress | None,
) -> int:
    """See `Manager.save_many`."""
    _check_size(site, batch_size)
    site.lifetime(ttl)
    total = len(objects) if isinstance(objects, Sized) else None
    errors: list[tuple[int, Exception]] = []
    saved = done = 0
    running: asyncio.Task[int] | None = None
    numbered = enumerate(objects)
    try:
        while batch := list(islice(numbered, batch_size)):
            prepared = _prepare(site, batch, ttl, errors)
            if running is not None:
                saved += await running
                if progress is not None:
                    progress(done, total)
            running = asyncio.create_task(_save(site, prepared, errors))
            done += len(batch)
            await asyncio.sleep(0)  # let the step be sent before the next is prepared
        if running is not None:
            saved += await running
            if progress is not None:
                progress(done, total)
    finally:
        if running is not None and not running.done():
            running.cancel()
    if errors:
        errors.sort(key=lambda error: error[0])
        raise BulkError(
            f"{site.name}: {len(errors)} of {done} records were not saved (the others were): see .errors",
            errors=errors,
        )
    return saved


def _prepare(
    site: Site[M], batch: Sequence[tuple[int, M]], ttl: Lifetime | None, errors: list[tuple[int, Exception]]
) -> list[_Prepared]:
    prepared: list[_Prepared] = []
    for position, record in batch:
        try:
            if not isinstance(record, site.model):
                raise QueryError(f"{site.name}: an object of type {type(record).__name__} is no {site.name}")
            mutation, row = save_mutation(site, record, ttl)
            prepared.append(_Prepared(position, record, mutation, row))
        except (ValidationError, RedisomError) as error:
            errors.append((position, error))
    return prepared


async def _save(site: Site[M], prepared: Sequence[_Prepared], errors: list[tuple[int, Exception]]) -> int:
    saved = 0
    for step in _steps(site, prepared):
        applied = await site.apply([each.mutation for each in step])
        failed = _failed(site, step, applied, errors)
        for number, each in enumerate(step):
            if number not in failed:
                written(site, each.record, each.row, applied.results[number])
                saved += 1
    return saved


def _failed(
    site: Site[M], step: Sequence[_Prepared], applied: Applied, errors: list[tuple[int, Exception]]
) -> set[int]:
    errors += [
        (step[failure.position].position, error_of(site.keyspace, failure)) for failure in applied.failures
    ]
    return {failure.position for failure in applied.failures}


def _steps(site: Site[M], prepared: Sequence[_Prepared]) -> Iterable[list[_Prepared]]:
    """Group by partition, and cut where a step would carry too much or take too long."""
    steps: dict[int, _Step] = {}
    for each in prepared:
        partition = site.keyspace.partition(each.mutation.member)
        step = steps.get(partition)
        if step is None or not step.takes(each, site.schema.step):
            if step is not None:
                yield step.records
            step = steps[partition] = _Step()
        step.add(each)
    yield from (step.records for step in steps.values())


class _Step:
    """Records of one partition, written together."""

    def __init__(self) -> None:
        self.records: list[_Prepared] = []
        self._words = self._bytes = 0

    def takes(self, each: _Prepared, most: int) -> bool:
        args = each.mutation.args
        return (
            len(self.records) < most
            and self._words + len(args) <= _STEP_WORDS
            and self._bytes + sum(map(len, args)) <= _STEP_BYTES
        )

    def add(self, each: _Prepared) -> None:
        self.records.append(each)
        self._words += len(each.mutation.args)
        self._bytes += sum(map(len, each.mutation.args))


async def delete_many(site: Site[Any], pks: Sequence[Any], *, batch_size: int) -> int:
    """See `Manager.delete_many`."""
    _check_size(site, batch_size)
    groups: dict[int, list[Mutation]] = {}
    for pk in pks:
        member = site.member_of(pk)
        groups.setdefault(site.keyspace.partition(member), []).append(remove(member))
    deleted = 0
    for group in groups.values():
        size = min(batch_size, site.schema.step)
        for first in range(0, len(group), size):
            applied = await site.apply(group[first : first + size])
            deleted += sum(applied.results)
    return deleted


def _check_size(site: Site[Any], batch_size: object) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise QueryError(f"{site.name}: batch_size is a whole number from 1 on")
