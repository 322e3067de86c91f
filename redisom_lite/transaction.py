"""Optimistic transactions: watch what is read, buffer what is written, commit in one step or not at all.

    reads    WATCH, then HMGET, on a connection of the transaction's own; a query watches the index keys it reads, then
             the records it found, so that neither a change nor a newcomer goes unnoticed
    writes   are mutations of the one write script, buffered
    commit   MULTI, one FCALL or EVALSHA of apply.lua, EXEC: the script checks every mutation before its first write

Nothing else writes on that connection before EXEC, for a connection's own write breaks its WATCH: reads neither sweep
nor slide; renewed lifetimes join the commit. A commit without reads is an ordinary step. EXEC uses the watches up
whatever comes of it, so what the script needs (its text, the declarations) is made sure of before, in the round trips
of the reads. When the connection is lost around EXEC, the step's operation token tells what became of it (recall.lua),
and a step that did not arrive never will.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

from redisom_lite.engine.declare import declare
from redisom_lite.engine.finding import Trace
from redisom_lite.engine.forms import Forms
from redisom_lite.engine.node import Command
from redisom_lite.engine.resp import evaluation
from redisom_lite.engine.scripts import load
from redisom_lite.engine.step import Applied, Change, Sending, Step, recalled
from redisom_lite.engine.store import Store
from redisom_lite.engine.transport import Session
from redisom_lite.engine.turns import Turn
from redisom_lite.engine.writer import error_of
from redisom_lite.errors import (
    BackendError,
    BackendTimeoutError,
    CrossSlotError,
    QueryError,
    RedisomError,
    UnavailableError,
)
from redisom_lite.manager import several, site_in, site_of
from redisom_lite.plan.prepared import Prepared, prepare
from redisom_lite.plan.watching import watched
from redisom_lite.query import Query
from redisom_lite.saving import insert_mutation, save_mutation, written
from redisom_lite.schema import mutations
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.lifetime import Lifetime, exactly, milliseconds
from redisom_lite.schema.record import Record, State, set_state
from redisom_lite.site import Site

R = TypeVar("R", bound=Record)


class StaleError(Exception):
    """The commit wrote nothing: what was read has changed, or the step could not be judged. Stays inside."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__()
        self.keys = keys


class Transaction:
    """One attempt. Reads see the database as it is, writes wait for the commit at the end of the block."""

    def __init__(self, store: Store, turn: Turn | None = None) -> None:
        self._store = store
        self._turn = turn
        self._backend = store.backend
        self._lent: AbstractAsyncContextManager[Session] | None = None
        self._session: Session | None = None
        self._reading = asyncio.Lock()  # tasks of one body share its connection, and its objects
        self._ended = False
        self._forms: Forms
        self._declared: set[bytes] = set()
        self._watched: dict[bytes, None] = {}
        self._loaded: dict[bytes, Any] = {}
        self._renewed: dict[bytes, Change] = {}
        self._changes: list[Change] = []
        self._done: list[Callable[[Any], None] | None] = []
        self._saved: dict[int, State] = {}
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
        members = [site.member_of(pk) for pk in several(pks)]
        records = await self._read(site, members)
        if site.sliding:
            for member, record in zip(members, records, strict=True):
                if record is not None:
                    self._renew(site, member)
        return records

    async def all(self, query: Query[R]) -> list[R]:
        """What a query finds, with the promise that at the commit it would find the same.

        Redis: WATCH of the indexes it reads; the query; WATCH and HMGET of the records found.
        """
        if not isinstance(query, Query):  # pyright: ignore[reportUnnecessaryIsInstance]  # others may give a model
            raise QueryError("tx.all takes a query: tx.all(Model.objects.find(...))")
        site = self._site(query.model)
        prepared = prepare(query.selection)
        if prepared.statement.impossible:
            return []
        members, overdue = await self._find(site.keyspace, prepared, watched(prepared.planned))
        if overdue:
            # one that comes back as it was takes its old place in every index, and trips no WATCH but that of deadlines
            members, _ = await self._find(site.keyspace, prepared, [b":due"])
        found = await self._read(site, members)
        return [record for record in found if record is not None]

    async def _find(
        self, keyspace: Keyspace, prepared: Prepared, suffixes: Iterable[bytes]
    ) -> tuple[list[bytes], bool]:
        """Watch these keys of the model, then find; whether there were overdue records to leave out."""
        self._refuse_if_ended()
        keys = [base + suffix for base in keyspace.bases for suffix in suffixes]
        async with self._reading:
            await self._watch(keyspace, range(len(keyspace.bases)), keys, [])
        trace = Trace()
        members = await self._backend.reader.members(keyspace, prepared, trace)
        return members, any(head.overdue for head in trace.heads)

    async def _read(self, site: Site[R], members: Sequence[bytes]) -> list[R | None]:
        self._refuse_if_ended()
        keyspace, loaded = site.keyspace, self._loaded
        keys = keyspace.record_keys(members)
        async with self._reading:
            fresh = {key: member for key, member in zip(keys, members, strict=True) if key not in loaded}
            if fresh:
                partitions = {keyspace.partition(member) for member in fresh.values()}
                reads = [keyspace.reading(key) for key in fresh]
                rows = await self._watch(keyspace, partitions, list(fresh), reads)
                for (key, member), row in zip(fresh.items(), rows, strict=True):
                    whole = keyspace.whole(member, row)
                    loaded[key] = None if whole is None else site.object(whole)
        return [loaded[key] for key in keys]

    def _renew(self, site: Site[Any], member: bytes) -> None:
        """Let a record that was loaded by key live its sliding lifetime from the commit, whatever is written to it."""
        if site.sliding and site.ttl_ms is not None:
            key = site.keyspace.record_key(member)
            self._renewed[key] = site.keyspace, mutations.live(member, exactly(site.ttl_ms))

    async def _watch(
        self,
        keyspace: Keyspace,
        partitions: Iterable[int],
        keys: Sequence[bytes],
        reads: Sequence[Command],
    ) -> list[Any]:
        """Watch keys, then read; the replies of the reads. One round trip."""
        models = [(keyspace, partition) for partition in partitions]
        for _, partition in models:
            self._check_slot(keyspace, partition)
        if self._turn is not None:
            await self._turn.come(keys)
        asked = [] if self._session is not None else await self._begin(keys[0])
        new = self._undeclared(models)
        commands = [*asked, (b"WATCH", *keys), *reads, *map(_is_declared, new)]
        replies = await self._send(commands)
        self._watched.update(dict.fromkeys(keys))
        if asked:
            self._forms.learn(replies)
            replies = replies[len(asked) :]
        _unrefused(replies)
        await self._declare(new, replies[1 + len(reads) :])
        return replies[1 : 1 + len(reads)]

    async def _begin(self, key: bytes) -> list[Command]:
        """Borrow a connection; what to ask there about the script of the commit."""
        transport, script = self._backend.transport(), load("apply")
        self._forms = Forms(transport, script, await transport.head(script))
        lent = transport.session(key)
        self._session = await lent.__aenter__()
        self._lent = lent
        return self._forms.questions

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        """Send what writes nothing: if the connection is lost, then without any effect."""
        assert self._session is not None
        try:
            return await self._session.send_many(commands)
        except BackendError as error:
            error.outcome = "none"
            raise

    def _undeclared(self, models: Iterable[tuple[Keyspace, int]]) -> list[tuple[Keyspace, int]]:
        return [
            (keyspace, number) for keyspace, number in models if keyspace.bases[number] not in self._declared
        ]

    async def _declare(self, models: Sequence[tuple[Keyspace, int]], declared: Sequence[Any]) -> None:
        for (keyspace, partition), is_declared in zip(models, declared, strict=True):
            if not is_declared:
                await declare(self._backend.transport(), keyspace, partition, writer=True)
            self._declared.add(keyspace.bases[partition])

    def _check_slot(self, keyspace: Keyspace, partition: int) -> None:
        """On a cluster, everything a transaction touches shares one hash tag."""
        if not self._store.clustered:
            return
        base = keyspace.bases[partition]
        tag = base[: base.index(b"}") + 1]
        if self._slot not in (None, tag):
            raise CrossSlotError(
                f"{keyspace.schema.model}: its records and others of this transaction lie in different slots: "
                "give the models one Meta(group=...), and partitions=1"
            )
        self._slot = tag

    def _site(self, model: type[R]) -> Site[R]:
        return site_in(self._store, model, "transaction")

    def _site_of(self, record: Record) -> Site[Any]:
        return site_of(self._store, record, "transaction")

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise QueryError("this transaction has ended: read and write inside its block")

    # Writes.

    def save(self, *records: Record, ttl: Lifetime | None = None) -> None:
        """Save these objects at the commit, as they are now."""
        for record in records:
            site = self._site_of(record)
            mutation, row = save_mutation(site, record, ttl, self._saved)
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

    def _buffer(
        self, site: Site[Any], mutation: mutations.Mutation, done: Callable[[Any], None] | None = None
    ) -> None:
        self._refuse_if_ended()
        self._check_slot(site.keyspace, site.keyspace.partition(mutation.member))
        self._changes.append((site.keyspace, mutation))
        self._done.append(done)

    # The end.

    async def commit(self) -> None:
        """Write everything, or nothing.

        Raises StaleError when what was read has changed, and the first failed mutation's error.
        """
        self._ended = True
        async with self._reading:
            if self._session is None:
                await self._write_unread()
            elif changes := [*self._renewed.values(), *self._changes]:
                await self._write(changes)
            else:
                *_, outcome = _unrefused(await self._send([(b"MULTI",), (b"EXEC",)]))
                if outcome is None:
                    raise self._stale()

    def _stale(self) -> StaleError:
        return StaleError(list(self._watched))

    async def _write_unread(self) -> None:
        """Nothing was read, so nothing can have changed since: an ordinary step."""
        if self._changes:
            self._finish(await self._backend.writer.apply(self._changes))

    async def _write(self, changes: Sequence[Change]) -> None:
        writer, step = self._backend.writer, Step(changes)
        unknown = self._undeclared(step.models)
        if unknown:
            await self._declare(
                unknown, _unrefused(await self._send([_is_declared(model) for model in unknown]))
            )
        sending = writer.stamp(step)
        reply = await self._execute(sending)
        if reply is None or reply[0] == b"A":
            raise self._stale()
        applied = await writer.settle(sending, reply)
        if applied is None:
            raise self._stale()  # someone else's declaration came in between
        if applied.failures:
            if await writer.bury(step, applied.failures):
                raise self._stale()
            first = applied.failures[0]
            raise error_of(step.keyspace_of(first), first)
        self._finish(applied)

    def _finish(self, applied: Applied) -> None:
        results = applied.results[len(self._renewed) :]
        for done, result in zip(self._done, results, strict=True):
            if done is not None:
                done(result)

    async def _execute(self, sending: Sending) -> Any:
        """The script's reply from within MULTI and EXEC; None when a watched key has changed."""
        assert self._session is not None
        run = evaluation(self._forms.head, sending.step.keys, sending.args)
        commands = [(b"MULTI",), run, (b"EXEC",)]
        try:
            replies = await self._session.send_many(commands)
        except (UnavailableError, BackendTimeoutError) as error:
            return await self._recalled(sending, error)
        if any(map(self._forms.failed, replies)):
            return None
        *_, outcome = _unrefused(replies)  # what refused the script says more than the abort that follows
        if outcome is None:
            return None
        (reply,) = outcome
        if self._forms.failed(reply):
            return None  # flushed since the first read
        _unrefused([reply])
        return reply

    async def _recalled(self, sending: Sending, lost: BackendError) -> Any:
        """Ask, on another connection, what became of a commit whose answer was lost."""
        keyspace, partition = sending.step.models[0]
        try:
            answer = await self._backend.transport().call(
                load("recall"),
                [keyspace.registry(partition)],
                [sending.step.base, sending.stamp, sending.operation],
            )
        except RedisomError:
            lost.outcome = "unknown"
            raise lost from lost.__cause__
        if answer is None:
            lost.outcome = "none"
            raise lost from lost.__cause__
        return recalled(answer)

    async def abandon(self) -> None:
        """Leave, committed or not; a connection that still watches is closed, never lent again."""
        self._ended = True
        self._session, lent, self._lent = None, self._lent, None
        if lent is not None:
            await lent.__aexit__(None, None, None)


def _is_declared(model: tuple[Keyspace, int]) -> tuple[bytes, ...]:
    keyspace, partition = model
    return (b"HEXISTS", keyspace.bases[partition] + b":meta", b"w:" + keyspace.fingerprint)


def _forget(record: Record, _existed: Any) -> None:
    set_state(record, None)


def _unrefused(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, RedisomError):
            raise reply
    return replies
