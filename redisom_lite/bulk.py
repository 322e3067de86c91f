"""Saving and deleting many records: steps of bounded size, the next one encoded while the last is under way.

At most one step is under way, so that the order of the objects is the order of the writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

from redisom_lite.engine.writer import error_of
from redisom_lite.errors import BulkError, QueryError, RedisomError
from redisom_lite.saving import save_mutation, written
from redisom_lite.schema.lifetime import KEEP, Lifetime
from redisom_lite.schema.mutations import Mutation, Row, remove
from redisom_lite.schema.record import Record
from redisom_lite.site import Site

M = TypeVar("M", bound=Record)

Progress: TypeAlias = Callable[[int, int | None], object]

_STEP_BYTES = 1 << 18
_STEP_WORDS = 2_600


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An object ready to be written: its position among all, its mutation, the row it will have, bytes to send."""

    position: int
    record: Any
    mutation: Mutation
    row: Row
    size: int


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
    step_of = site.schema.step
    if site.first_lifetime(ttl) != KEEP:
        step_of = max(1, step_of * 3 // 4)  # a deadline is three entries more
    total = len(objects) if isinstance(objects, Sized) else None
    refused: list[tuple[int, Exception]] = []
    failed: list[tuple[int, Exception]] = []
    written_so_far = told = 0
    running: asyncio.Task[int] | None = None

    async def finish(step: asyncio.Task[int]) -> None:
        nonlocal written_so_far, told
        written_so_far += await step
        told = _tell(progress, told, written_so_far + len(failed) + len(refused), total)

    try:
        prepared = _prepare(site, objects, ttl, refused)
        for step in _steps(site, prepared, min(batch_size, step_of)):
            if running is not None:
                await finish(running)
            running = asyncio.create_task(_save(site, step, failed))
            await asyncio.sleep(0)  # let the step be sent before the next is prepared
        if running is not None:
            await finish(running)
    finally:
        if running is not None and not running.done():
            running.cancel()
    errors = sorted([*refused, *failed], key=lambda error: error[0])
    _tell(progress, told, written_so_far + len(errors), total)
    if errors:
        raise BulkError(
            f"{site.name}: {len(errors)} of {written_so_far + len(errors)} records were not saved "
            "(the others were): see .errors",
            errors=errors,
        )
    return written_so_far


def _tell(progress: Progress | None, told: int, done: int, total: int | None) -> int:
    if progress is not None and done > told:
        progress(done, total)
    return done


def _prepare(
    site: Site[M], objects: Iterable[M], ttl: Lifetime | None, refused: list[tuple[int, Exception]]
) -> Iterator[_Prepared]:
    for position, record in enumerate(objects):
        try:
            if not isinstance(record, site.model):
                raise QueryError(f"{site.name}: an object of type {type(record).__name__} is no {site.name}")
            mutation, row = save_mutation(site, record, ttl)
        except (ValidationError, RedisomError) as error:
            refused.append((position, error))
        else:
            yield _Prepared(position, record, mutation, row, mutation.args.size)


async def _save(site: Site[M], step: Sequence[_Prepared], failed: list[tuple[int, Exception]]) -> int:
    applied = await site.apply([each.mutation for each in step])
    lost = {failure.position for failure in applied.failures}
    failed += [
        (step[failure.position].position, error_of(site.keyspace, failure)) for failure in applied.failures
    ]
    for number, each in enumerate(step):
        if number not in lost:
            written(site, each.record, each.row, applied.results[number])
    return len(step) - len(lost)


def _steps(site: Site[M], prepared: Iterable[_Prepared], most: int) -> Iterator[list[_Prepared]]:
    """Group by partition, up to `most` records, and cut where a step would carry too much."""
    steps: dict[int, _Step] = {}
    for each in prepared:
        partition = site.keyspace.partition(each.mutation.member)
        step = steps.get(partition)
        if step is None or not step.takes(each):
            if step is not None:
                yield step.records
            step = steps[partition] = _Step()
        step.add(each)
        if len(step.records) == most:
            yield steps.pop(partition).records
    yield from (step.records for step in steps.values())


class _Step:
    """Records of one partition, written together."""

    def __init__(self) -> None:
        self.records: list[_Prepared] = []
        self._words = self._bytes = 0

    def takes(self, each: _Prepared) -> bool:
        return self._words + len(each.mutation.args) <= _STEP_WORDS and self._bytes + each.size <= _STEP_BYTES

    def add(self, each: _Prepared) -> None:
        self.records.append(each)
        self._words += len(each.mutation.args)
        self._bytes += each.size


async def delete_many(site: Site[Any], pks: Sequence[Any], *, batch_size: int) -> int:
    """See `Manager.delete_many`."""
    _check_size(site, batch_size)
    groups: dict[int, list[bytes]] = {}
    for pk in pks:
        member = site.member_of(pk)
        groups.setdefault(site.keyspace.partition(member), []).append(member)
    deleted = 0
    for group in groups.values():
        async for part in site.steps(group, most=batch_size):
            applied = await site.apply([remove(member) for member in part])
            deleted += sum(applied.results)
    return deleted


def _check_size(site: Site[Any], batch_size: object) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise QueryError(f"{site.name}: batch_size is a whole number from 1 on")
