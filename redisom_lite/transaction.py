"""Optimistic transactions: watch what is read, buffer what is written, commit in one step or not at all.

    reads    WATCH, then HMGET, on a connection of the transaction's own; a query watches the index keys it reads, then
             the records it found, so that neither a change nor a newcomer goes unnoticed
    writes   are mutations of the one write script, buffered
    commit   MULTI, one EVALSHA of apply.lua, EXEC: the script checks every mutation before its first write

Nothing else writes on that connection before EXEC, for a connection's own write breaks its WATCH: reads neither sweep
nor slide; renewed lifetimes join the commit. A commit without reads is an ordinary step. When the connection is lost
around EXEC, the step's operation token tells what became of it (recall.lua), and a step that did not arrive never will.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from redisom_lite.engine.scripts import load
from redisom_lite.engine.store import Store
from redisom_lite.engine.transport import Session
from redisom_lite.engine.writer import Applied, Change, Sending, Step, error_of, unpacked
from redisom_lite.errors import (
    BackendError,
    BackendTimeoutError,
    ConflictError,
    CrossSlotError,
    QueryError,
    RedisomError,
    UnavailableError,
)
from redisom_lite.manager import manager_of
from redisom_lite.plan.planner import plan
from redisom_lite.plan.watching import watched
from redisom_lite.query import Query
from redisom_lite.saving import insert_mutation, save_mutation, written
from redisom_lite.schema import mutations
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.lifetime import Lifetime, exactly, milliseconds
from redisom_lite.schema.record import Record, set_state
from redisom_lite.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound=Record)

_FIRST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.2
_QUEUE_PATIENCE: Final = 1.0


class StaleError(Exception):
    """The commit wrote nothing: what was read has changed, or the step could not be judged. Never leaves here."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__()
        self.keys = keys


class Transaction:
    """One attempt. Reads see the database as it is, writes wait for the commit at the end of the block."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stack = AsyncExitStack()
        self._session: Session | None = None
        self._watched: dict[bytes, None] = {}
        self._loaded: dict[bytes, Any] = {}
        self._changes: list[Change] = []
        self._done: list[Callable[[Any], None] | None] = []
        self._slot: bytes | None = None

    # Reads.

    async def get(self, model: type[R], pk: Any) -> R:
        """The record with this key; `NotFoundError` when there is none. The same object for the same key."""
        found = await self.get_or_none(model, pk)
        if found is None:
            raise self._site(model).not_found()
        return found

    async def get_or_none(self, model: type[R], pk: Any) -> R | None:
        """The record with this key, or None: then the commit fails if one has appeared."""
        (found,) = await self.get_many(model, [pk])
        return found

    async def get_many(self, model: type[R], pks: Iterable[Any]) -> list[R | None]:
        """The records with these keys, in order, None where there is none. Redis: WATCH, HMGET each; one round trip."""
        site = self._site(model)
        return await self._read(site, [site.member_of(pk) for pk in pks])

    async def all(self, query: Query[R]) -> list[R]:
        """What a query finds, with the promise that at the commit it would find the same.

        Redis: WATCH of the indexes it reads; the query; WATCH and HMGET of the records found.
        """
        site = self._site(query.model)
        selection = query.selection
        planned = plan(selection)
        keyspace = site.keyspace
        keys = [base + suffix for base in keyspace.bases for suffix in watched(planned)]
        await self._watch(keyspace, keys)
        members = await self._store.backend.reader.members(keyspace, planned)
        found = await self._read(site, members)
        return [record for record in found if record is not None]

    async def _read(self, site: Site[R], members: Sequence[bytes]) -> list[R | None]:
        keyspace = site.keyspace
        keys = {keyspace.record_key(member): member for member in members}
        fresh = [key for key in keys if key not in self._loaded]
        if fresh:
            session = await self._open(keyspace, fresh)
            commands = [(b"WATCH", *fresh), *((b"HMGET", key, *keyspace.names) for key in fresh)]
            _, *rows = _unrefused(await session.send_many(commands))
            self._watched.update(dict.fromkeys(fresh))
            for key, row in zip(fresh, rows, strict=True):
                whole = keyspace.whole(keys[key], row)
                record = None if whole is None else site.object(whole)
                self._loaded[key] = record
                if record is not None and site.sliding and site.ttl_ms is not None:
                    self._buffer(site, mutations.live(keys[key], exactly(site.ttl_ms)))
        return [self._loaded[keyspace.record_key(member)] for member in members]

    async def _watch(self, keyspace: Keyspace, keys: Sequence[bytes]) -> None:
        session = await self._open(keyspace, keys)
        _unrefused(await session.send_many([(b"WATCH", *keys)]))
        self._watched.update(dict.fromkeys(keys))

    async def _open(self, keyspace: Keyspace, keys: Sequence[bytes]) -> Session:
        self._check_slot(keyspace)
        if self._session is None:
            self._session = await self._stack.enter_async_context(self._store.transport.session(keys[0]))
        return self._session

    def _check_slot(self, keyspace: Keyspace) -> None:
        """On a cluster, everything a transaction touches shares one hash tag."""
        if not self._store.clustered:
            return
        for base in keyspace.bases:
            tag = base[: base.index(b"}") + 1]
            if self._slot not in (None, tag):
                raise CrossSlotError(
                    f"{keyspace.schema.model}: its records and others of this transaction lie in different slots: "
                    "give the models one Meta(group=...), and partitions=1"
                )
            self._slot = tag

    def _site(self, model: type[R]) -> Site[R]:
        manager: Any = getattr(model, "objects")  # noqa: B009 - declared a floor above
        site: Site[R] = manager.site()
        if site.store is not self._store:
            raise QueryError(f"{model.__name__} lives in another database than this transaction")
        return site

    # Writes.

    def save(self, *records: Record, ttl: Lifetime | None = None) -> None:
        """Save these objects at the commit, as they are now."""
        for record in records:
            site = self._site_of(record)
            mutation, row = save_mutation(site, record, ttl)
            self._buffer(site, mutation, partial(written, site, record, row))

    def insert(self, *records: Record, ttl: Lifetime | None = None) -> None:
        """Store these new records at the commit; it fails with `AlreadyExistsError` if a key is taken."""
        for record in records:
            site = self._site_of(record)
            mutation, row = insert_mutation(site, record, ttl)
            self._buffer(site, mutation, partial(written, site, record, row))

    def delete(self, *records: Record) -> None:
        """Delete these objects' records at the commit."""
        for record in records:
            site = self._site_of(record)
            self._buffer(site, mutations.remove(site.member(record)), partial(_forget, record))

    def expire(self, record: Record, ttl: Lifetime) -> None:
        """Let the record end in `ttl` from the commit; `NotFoundError` there if it has gone."""
        site = self._site_of(record)
        self._buffer(site, mutations.live(site.member(record), exactly(milliseconds(ttl))))

    def _site_of(self, record: Record) -> Site[Any]:
        site: Site[Any] = manager_of(record).site()
        return site if site.store is self._store else self._site(type(record))

    def _buffer(
        self, site: Site[Any], mutation: mutations.Mutation, done: Callable[[Any], None] | None = None
    ) -> None:
        self._check_slot(site.keyspace)
        self._changes.append((site.keyspace, mutation))
        self._done.append(done)

    # The end.

    async def commit(self) -> None:
        """Write everything, or nothing.

        Raises StaleError when what was read has changed, and the first failed mutation's error.
        """
        if self._session is None:
            if self._changes:
                self._finish(await self._store.backend.writer.apply(self._changes))
            return
        if not self._changes:
            _, outcome = _unrefused(await self._session.send_many([(b"MULTI",), (b"EXEC",)]))
            if outcome is None:
                raise StaleError(list(self._watched))
            return
        writer = self._store.backend.writer
        step = Step(self._changes)
        await writer.introduce(step)
        sending = writer.stamp(step)
        reply = await self._execute(self._session, sending)
        if reply is None or reply[0] == b"A":
            raise StaleError(list(self._watched))
        applied = await writer.settle(sending, reply)
        if applied is None:
            raise StaleError(list(self._watched))
        if applied.failures:
            first = applied.failures[0]
            if await writer.bury(step, applied.failures):
                raise StaleError(list(self._watched))
            raise error_of(step.keyspace_of(first), first)
        self._finish(applied)

    def _finish(self, applied: Applied) -> None:
        for done, result in zip(self._done, applied.results, strict=True):
            if done is not None:
                done(result)

    async def _execute(self, session: Session, sending: Sending) -> Any:
        """The script's reply from within MULTI and EXEC; None when a watched key has changed."""
        script, keys = load("apply"), sending.step.keys
        evaluate: tuple[Any, ...] = (b"EVALSHA", script.sha, len(keys), *keys, *sending.args)
        try:
            *_, outcome = await session.send_many([(b"MULTI",), evaluate, (b"EXEC",)])
        except (UnavailableError, BackendTimeoutError) as error:
            return await self._recalled(sending, error)
        if isinstance(outcome, RedisomError):
            raise outcome
        if outcome is None:
            return None
        reply = outcome[0]
        if isinstance(reply, BackendError) and reply.code == "NOSCRIPT":
            self._store.backend.writer.forget_script()
            return None
        if isinstance(reply, RedisomError):
            raise reply
        return reply

    async def _recalled(self, sending: Sending, lost: BackendError) -> Any:
        """Ask, on another connection, what became of a commit whose answer was lost."""
        keyspace, partition = sending.step.models[0]
        try:
            answer = await self._store.transport.call(
                load("recall"),
                [keyspace.registry(partition)],
                [sending.step.operations, sending.stamp, sending.operation],
            )
        except RedisomError:
            lost.outcome = "unknown"
            raise lost from lost.__cause__
        if answer is None:
            lost.outcome = "none"
            raise lost from lost.__cause__
        return unpacked(answer)

    async def abandon(self) -> None:
        """Leave without a commit; a connection that still watches is not lent again."""
        self._session = None
        await self._stack.aclose()


@asynccontextmanager
async def one_attempt(store: Store) -> AsyncGenerator[Transaction]:
    """See `Database.transaction`."""
    transaction = Transaction(store)
    try:
        yield transaction
        await transaction.commit()
    except StaleError as stale:
        raise _conflict(1, stale.keys) from None
    finally:
        await transaction.abandon()


def repeated(
    store: Store, retries: int, backoff: float
) -> Callable[[Callable[Concatenate[Transaction, P], Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """See `Database.atomic`."""
    if isinstance(retries, bool) or retries < 0:
        raise QueryError("atomic(retries=...) takes a whole number from 0 on")

    def decorate(body: Callable[Concatenate[Transaction, P], Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(body)
        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            async def once() -> T:
                transaction = Transaction(store)
                try:
                    result = await body(transaction, *args, **kwargs)
                    await transaction.commit()
                    return result
                finally:
                    await transaction.abandon()

            return await _until_it_holds(once, retries, backoff)

        return run

    return decorate


_queues: Final[WeakValueDictionary[tuple[int, bytes], asyncio.Lock]] = WeakValueDictionary()


async def _until_it_holds(once: Callable[[], Awaitable[T]], retries: int, backoff: float) -> T:
    """Run until a commit holds. From the second run on, runs of this process that met over one key queue up for it:

    they would only make each other fail. The queue is a courtesy, waited in for a bounded time; WATCH decides.
    """
    queue: asyncio.Lock | None = None
    for attempt in range(retries + 1):
        try:
            if queue is None:
                return await once()
            async with _turn(queue):
                return await once()
        except StaleError as stale:
            if attempt == retries:
                raise _conflict(attempt + 1, stale.keys) from None
            if stale.keys:
                name = (id(asyncio.get_running_loop()), stale.keys[0])
                queue = _queues.get(name)
                if queue is None:
                    queue = _queues[name] = asyncio.Lock()
            if attempt:
                await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, backoff * 2**attempt)))
    raise AssertionError("a loop of at least one run ended without one")


@asynccontextmanager
async def _turn(queue: asyncio.Lock) -> AsyncGenerator[None]:
    """A place in the queue, or none after a while: two runs that each wait for the other's must both go on."""
    try:
        async with asyncio.timeout(_QUEUE_PATIENCE):
            await queue.acquire()
    except TimeoutError:
        yield
        return
    try:
        yield
    finally:
        queue.release()


def _conflict(attempts: int, keys: Sequence[bytes]) -> ConflictError:
    runs = "1 run" if attempts == 1 else f"{attempts} runs"
    return ConflictError(
        f"what the transaction read has changed before its commit, in {runs}: nothing was written, try again",
        attempts=attempts,
        keys=[key.decode("ascii", "replace") for key in keys if b":r:" in key],
    )


def _forget(record: Record, _existed: Any) -> None:
    set_state(record, None)


def _unrefused(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, RedisomError):
            raise reply
    return replies
