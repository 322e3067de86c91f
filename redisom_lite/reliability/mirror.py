"""`Mirror(primary, backup)`: records of the primary, kept on a second server too.

Models need no change: they live in the primary, and what is written through the mirror follows to the backup.

    Guaranteed      a write through the mirror is noted on the primary before it is made and until the backup has it, so
                    that neither a dead backup nor a dead writer loses it; values, indexes and lifetimes are copied
                    through the mapper, and a copy is made again until it is the newest state.
    Not guaranteed  writes that pass the mirror by (a plain `save()`) are seen by `verify` alone. The note and the write
                    are two steps: if the primary loses its last second, it may lose notes too. While the primary is
                    away nothing can be written, and reads may lack what was not copied yet (`lag`). It is no failover
                    and no consensus: for those, Redis replicas with Sentinel, or a cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar

from redisom_lite.engine.background import beside
from redisom_lite.engine.store import Store, store_of
from redisom_lite.errors import (
    BackendError,
    BackendTimeoutError,
    LoadingError,
    NotBoundError,
    RedisomError,
    UnavailableError,
)
from redisom_lite.manager import Manager
from redisom_lite.reliability import comparing
from redisom_lite.reliability.comparing import Verification
from redisom_lite.reliability.copying import Copied, Way, look
from redisom_lite.reliability.health import Check, Health, health
from redisom_lite.reliability.journal import Journal, Note
from redisom_lite.reliability.retrying import Retry
from redisom_lite.schema.lifetime import Lifetime, milliseconds
from redisom_lite.schema.record import Record
from redisom_lite.site import Site
from redisom_lite.sweeping import models_of

M = TypeVar("M", bound=Record)

Mode: TypeAlias = Literal["sync", "queued"]

_AWAY: Final = (UnavailableError, BackendTimeoutError, LoadingError)
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the backup is behind: `pending` entries of the journal, and the age of the oldest (None: none)."""

    pending: int
    oldest: timedelta | None


@dataclass(slots=True)
class Counts:
    """What a mirror did since it was made: records `copied`, copies `failed`, reads that fell back, records healed.

    `last_error` is why the latest copy failed; None when it did not.
    """

    copied: int = 0
    failed: int = 0
    fallbacks: int = 0
    healed: int = 0
    last_error: RedisomError | None = None


class Mirror:
    """Write to two servers, read from the first that can answer.

    - `mode`: "sync": a write returns when both have it, and raises when the backup has not (the journal keeps the
      debt). "queued": it returns when the primary has it; `replay` pays the debts.
    - `name` tells the journals of several backups of one primary apart.
    - `grace`: how long a write can be under way at most; older intents count as debts.

    `async with mirror:` replays in the background every `interval` while the block runs, with growing pauses while the
    backup is away. Several processes may do so.
    """

    def __init__(
        self,
        primary: Store,
        backup: Store,
        *,
        mode: Mode = "sync",
        name: str = "backup",
        interval: Lifetime = 0.1,
        grace: Lifetime = "30s",
    ) -> None:
        self.primary = primary
        self.backup = backup
        self.mode: Mode = mode
        self.counts = Counts()
        self._journal = Journal(primary, name)
        self._interval = milliseconds(interval, "Mirror(interval=...)") / 1000
        self._grace = milliseconds(grace, "Mirror(grace=...)")
        self._block: AsyncExitStack | None = None

    def bind(self, *models: type[Record]) -> None:
        """Make models live in the primary, as `primary.bind` does."""
        self.primary.bind(*models)

    # Writing.

    async def save(self, obj: M, *, ttl: Lifetime | None = None) -> M:
        """As `obj.save()`, on both servers. Errors as there; and as `writing`."""
        async with self._writing(type(obj), [self._site(type(obj)).member(obj)]):
            await _stored(obj).save(ttl=ttl)
        return obj

    async def save_many(self, objects: Sequence[M], *, ttl: Lifetime | None = None) -> int:
        """As `objects.save_many` for objects of one model, on both servers, 200 in each step; how many."""
        saved = 0
        for at in range(0, len(objects), _BATCH):
            batch = objects[at : at + _BATCH]
            model = type(batch[0])
            site = self._site(model)
            async with self._writing(model, [site.member(each) for each in batch]):
                saved += await _objects(model).save_many(batch, ttl=ttl)
        return saved

    async def delete(self, model: type[Record], pk: Any) -> bool:
        """Delete a record on both servers; whether the primary had it."""
        async with self.writing(model, pk):
            return await _objects(model).delete(pk)

    def writing(self, model: type[Record], *pks: Any) -> AbstractAsyncContextManager[None]:
        """Mirror whatever a block writes to these records: `async with mirror.writing(Product, "a"): await p.inc(...)`.

        In the mode "sync" its end waits for the backup; when that fails, `UnavailableError` (outcome "unknown") says
        that the primary has the write, and that the backup will get it by `replay`. A block that fails leaves its
        note: what it may have written is copied after `grace`. Redis: XADD before and XADD, XDEL after, on the primary;
        for a copy HGETALL and PTTL there, before and after the mapper's own step on the backup.
        """
        site = self._site(model)
        return self._writing(model, [site.member_of(pk) for pk in pks])

    @asynccontextmanager
    async def _writing(self, model: type[Record], members: list[bytes]) -> AsyncGenerator[None]:
        base = self._site(model).keyspace.bases[0]
        intent = await self._journal.note(base, members, intent=True)
        yield
        if self.mode == "queued":
            await self._journal.note(base, members, instead_of=intent, intent=False)
            return
        failed = await self._copy_now(model, members)
        if failed is None:
            await self._journal.forget(intent)
            return
        await self._journal.note(base, members, instead_of=intent, intent=False)
        raise UnavailableError(
            f"{model.__name__}: the primary has the write, the backup has not; it is noted, and replay() will bring it",
            outcome="unknown",
        ) from failed

    async def _copy_now(self, model: type[Record], members: list[bytes]) -> RedisomError | None:
        try:
            copied = await self._copy(model, members)
        except RedisomError as error:
            return error
        return next(iter(copied.failed.values()), None)

    async def _copy(self, model: type[Record], members: Sequence[bytes]) -> Copied:
        try:
            copied = await Way(model, self.primary, self.backup).copy(members)
        except RedisomError as error:
            self.counts.failed += len(members)
            self.counts.last_error = error
            raise
        self.counts.copied += copied.done
        self.counts.failed += len(copied.failed)
        self.counts.last_error = next(iter(copied.failed.values()), None)
        return copied

    # Reading.

    async def get(self, model: type[M], pk: Any) -> M:
        """As `get_or_none`; `NotFoundError` when neither server has the record."""
        found = await self.get_or_none(model, pk)
        if found is None:
            raise self._site(model).not_found()
        return found

    async def get_or_none(self, model: type[M], pk: Any) -> M | None:
        """The primary's record, else the backup's.

        Where the primary is away the backup answers. Where it lacks the record and the backup has it, with no deletion
        under way, the primary has lost it: it is healed (value, indexes, what remains of its lifetime) and returned. An
        object read from the backup of a versioned model cannot be saved before a `refresh()`: `ConflictError`.
        """
        try:
            found = await _objects(model).get_or_none(pk)
        except _AWAY:
            self.counts.fallbacks += 1
            return await self._from_backup(model, pk)
        return found if found is not None else await self._healed(model, pk)

    async def _from_backup(self, model: type[M], pk: Any) -> M | None:
        way, member = Way(model, self.backup, self.primary), self._site(model).member_of(pk)
        (snapshot,) = await look(self.backup, way.keyspace(self.backup), [member])
        if snapshot is None:
            return None
        found: M = way.object(member, snapshot)
        return found

    async def _healed(self, model: type[M], pk: Any) -> M | None:
        way, site = Way(model, self.backup, self.primary), self._site(model)
        member, keyspace = site.member_of(pk), way.keyspace(self.backup)
        try:
            if (await look(self.backup, keyspace, [member]))[0] is None:
                return None
            # a deletion is noted before it is made: with none noted, and the record still there, none is under way
            if await self._journal.names(site.keyspace.bases[0], member):
                return None
            if (await way.copy([member], only_absent=True)).failed:
                return None
        except _AWAY as error:
            self.counts.last_error = error
            return None
        self.counts.fallbacks += 1
        self.counts.healed += 1
        return await _objects(model).get_or_none(pk)

    async def restore(self, model: type[Record]) -> int:
        """Bring back to the primary the records that only the backup has, lifetimes included; how many were looked at.

        For a primary that lost its data. What was deleted past the mirror comes back too.
        """
        way, looked = Way(model, self.backup, self.primary), 0
        self._site(model)
        async for found in comparing.members(self.backup, way.keyspace(self.backup)):
            copied = await way.copy(found, only_absent=True)
            looked += copied.done
        return looked

    # Following.

    async def __aenter__(self) -> Self:
        self._block = AsyncExitStack()
        await self._block.enter_async_context(beside(self._replay_forever()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        block, self._block = self._block, None
        return None if block is None else await block.__aexit__(kind, error, traceback)

    async def _replay_forever(self) -> None:
        patience = Retry(attempts=10, first=self._interval, longest=max(2.0, self._interval)).pauses
        pauses = patience()
        while True:
            try:
                await self.replay()
                pauses = patience()
                pause = self._interval
            except BackendError as error:
                self.counts.last_error = error
                pause = next(pauses, 2.0)
            await asyncio.sleep(pause)

    async def replay(self) -> int:
        """Copy what the journal names to the backup, the oldest first; how many entries were settled.

        An entry stays when one of its records cannot be copied (`counts.last_error`), when this process has not
        declared its model, or while it is a write under way. `BackendError` when a server is away.
        """
        settled = 0
        models = {
            self.primary.keyspace(each.__redisom_schema__).bases[0]: each for each in models_of(self.primary)
        }
        _, _, present = await self._journal.length()
        async for page in self._journal.pages():
            due = [note for note in page if not note.intent or present - note.milliseconds > self._grace]
            failed: set[tuple[bytes, bytes]] = set()
            for base in {note.base for note in due}:
                failed |= await self._replay_model(models.get(base), base, due)
            done = [
                note.id for note in due if not any((note.base, member) in failed for member in note.members)
            ]
            await self._journal.forget(*done)
            settled += len(done)
        return settled

    async def _replay_model(
        self, model: type[Record] | None, base: bytes, due: Iterable[Note]
    ) -> set[tuple[bytes, bytes]]:
        members = [member for note in due if note.base == base for member in note.members]
        failed = members if model is None else (await self._copy(model, members)).failed
        return {(base, member) for member in failed}

    async def lag(self) -> Lag:
        """How far the backup is behind. Redis: XLEN, XRANGE, TIME on the primary."""
        pending, oldest, present = await self._journal.length()
        return Lag(pending, None if oldest is None else timedelta(milliseconds=max(0, present - oldest)))

    async def verify(self, model: type[Record], *, repair: bool = False) -> Verification:
        """Compare a model on both servers by digests of ranges of keys; `repair` makes the backup what the primary is.

        Online: what is written meanwhile gets a moment to arrive; what the journal still names counts as a difference,
        so `replay` first. Refused with `ConstraintError`: to repair a backup after an empty primary.
        """
        self._site(model)
        return await comparing.verify(Way(model, self.primary, self.backup), repair=repair)

    async def health(self) -> Health:
        """Both servers' checks, and the lag: not ok when a copy failed or the oldest entry is older than `grace`."""
        first, second = await health(self.primary), await health(self.backup)
        checks = [
            Check(f"{name} {check.name}", check.ok, check.seen)
            for name, seen in (("primary", first), ("backup", second))
            for check in seen.checks
        ]
        try:
            lag = await self.lag()
            late = lag.oldest is not None and lag.oldest > timedelta(milliseconds=self._grace)
            checks.append(Check("lag", not late, f"{lag.pending} entries, the oldest {lag.oldest or 'none'}"))
        except BackendError as error:
            checks.append(Check("lag", False, str(error)))
        failed = self.counts.last_error
        checks.append(Check("copies", failed is None, str(failed or "the latest succeeded")))
        return Health(tuple(checks), first.latency)

    def _site(self, model: type[M]) -> Site[M]:
        if store_of(model) is not self.primary:
            raise NotBoundError(
                f"{model.__name__} does not live in the mirror's primary: mirror.bind({model.__name__})"
            )
        return _objects(model).site()


def _objects(model: type[M]) -> Manager[M]:
    found: Manager[M] = getattr(model, "objects")  # noqa: B009 - every model's, declared by its metaclass
    return found


def _stored(obj: Record) -> Any:
    return obj
