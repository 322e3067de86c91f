"""`Batch`: different reads and writes in one round trip, each with its own result or error.

Unlike a transaction it promises nothing about the whole: other writers may come in between, and what fails leaves the
others alone. The calls take effect in the order they were made (on a cluster: the calls about one slot).

A write that the server could not judge yet (it lacks the script, or the model's declaration) is sent again together
with everything behind it, so that the order stays: a write among these that has been applied answers by its operation
token, a read simply reads again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from redisom_lite.engine.functions import NOT_BEGUN, Head
from redisom_lite.engine.node import Command
from redisom_lite.engine.resp import evaluation
from redisom_lite.engine.scripts import Script, load
from redisom_lite.engine.step import Applied, Sending, Step
from redisom_lite.engine.store import Store
from redisom_lite.engine.transport import Transport
from redisom_lite.engine.writer import error_of
from redisom_lite.errors import BackendError, QueryError, RedisomError
from redisom_lite.manager import several, site_in, site_of
from redisom_lite.saving import insert_mutation, save_mutation, written
from redisom_lite.schema import mutations
from redisom_lite.schema.lifetime import Lifetime, exactly, milliseconds
from redisom_lite.schema.record import Record, State, set_state
from redisom_lite.site import Site

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
R = TypeVar("R", bound=Record)

_ROUNDS: Final = 8


class Handle(Generic[T]):
    """What one call of a batch will give."""

    __slots__ = ("_error", "_value")

    def __init__(self) -> None:
        self._error: RedisomError | None = QueryError("a batch's results are there when its block has ended")
        self._value: T | None = None

    @property
    def result(self) -> T:
        """The result; raises the error of a call that failed, and `QueryError` before the block has ended."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # None only where T allows it

    @property
    def error(self) -> RedisomError | None:
        """Why the call failed, or None."""
        return self._error

    def _set(self, value: T) -> None:
        self._value, self._error = value, None

    def _fail(self, error: RedisomError) -> None:
        self._error = error


@dataclass(slots=True)
class _Call:
    """One call: what is sent, what its reply means, and, once it is known, what came of it."""

    handle: Handle[Any]
    site: Site[Any]
    member: bytes
    read: Callable[[Any], Any]
    command: Command
    mutation: mutations.Mutation | None
    script: Script | None
    sending: Sending | None = None
    refused: bool = False
    """Whether the server would not run it as a function."""

    def by(self, head: Head) -> Command:
        """The command that runs the call's script."""
        if self.sending is None:
            return (*head, *self.command)
        return evaluation(head, self.sending.step.keys, self.sending.args)


class Batch:
    """Collects calls until its block ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls: list[_Call] = []
        self._saved: dict[int, State] = {}
        self._ended = False

    async def __aenter__(self) -> Self:
        if self._ended:
            raise QueryError("this batch has ended: make another")
        return self

    async def __aexit__(self, kind: object, *exc: object) -> None:
        self._ended = True
        if kind is None and self._calls:
            await self._send(self._calls)

    # Reads.

    def get(self, model: type[R], pk: Any) -> Handle[R]:
        """The record with this key; the result raises `NotFoundError` when there is none."""
        site = self._site(model)
        member = site.member_of(pk)

        def read(row: Any) -> R:
            found = _object(site, member, row)
            if found is None:
                raise site.not_found()
            return found

        return self._read(site, member, read)

    def get_or_none(self, model: type[R], pk: Any) -> Handle[R | None]:
        """The record with this key, or None."""
        site = self._site(model)
        member = site.member_of(pk)
        return self._read(site, member, lambda row: _object(site, member, row))

    def get_many(self, model: type[R], pks: Iterable[Any]) -> list[Handle[R | None]]:
        """A handle for each of these keys, in their order."""
        return [self.get_or_none(model, pk) for pk in several(pks)]

    def exists(self, model: type[Record], pk: Any) -> Handle[bool]:
        """Whether there is a record with this key."""
        site = self._site(model)
        member = site.member_of(pk)
        command = (b"EXISTS", site.keyspace.record_key(member))
        return self._add(site, member, bool, command=command)

    def _read(self, site: Site[Any], member: bytes, read: Callable[[Any], T]) -> Handle[T]:
        keyspace = site.keyspace
        key = keyspace.record_key(member)
        if not site.sliding or site.ttl_ms is None:
            return self._add(site, member, read, command=keyspace.reading(key))
        base = keyspace.bases[keyspace.partition(member)]
        slide: Command = (1, key, base, site.ttl_ms, member, *keyspace.names)
        return self._add(site, member, lambda rows: read(rows[0]), command=slide, script=load("slide"))

    # Writes.

    def save(self, record: R, *, ttl: Lifetime | None = None) -> Handle[R]:
        """Save this object, as it is now."""
        site = self._site_of(record)
        mutation, row = save_mutation(site, record, ttl, self._saved)
        return self._write(site, mutation, lambda version: _stored(site, record, row, version))

    def insert(self, record: R, *, ttl: Lifetime | None = None) -> Handle[R]:
        """Store this new record; the result raises `AlreadyExistsError` if its key is taken."""
        site = self._site_of(record)
        mutation, row = insert_mutation(site, record, ttl)
        return self._write(site, mutation, lambda version: _stored(site, record, row, version))

    def delete(self, record: Record) -> Handle[bool]:
        """Delete this object's record; the result says whether there was one."""
        site = self._site_of(record)

        def read(existed: Any) -> bool:
            set_state(record, None)
            return bool(existed)

        return self._write(site, mutations.remove(site.member(record)), read)

    def expire(self, record: Record, ttl: Lifetime) -> Handle[None]:
        """Let the record end in `ttl` from now."""
        site = self._site_of(record)
        return self._write(
            site, mutations.live(site.member(record), exactly(milliseconds(ttl))), lambda _: None
        )

    def _write(self, site: Site[Any], mutation: mutations.Mutation, read: Callable[[Any], T]) -> Handle[T]:
        return self._add(site, mutation.member, read, mutation=mutation, script=load("apply"))

    def _add(
        self,
        site: Site[Any],
        member: bytes,
        read: Callable[[Any], T],
        *,
        command: Command = (),
        mutation: mutations.Mutation | None = None,
        script: Script | None = None,
    ) -> Handle[T]:
        if self._ended:
            raise QueryError("this batch has ended: make its calls inside its block")
        handle = Handle[T]()
        self._calls.append(_Call(handle, site, member, read, command, mutation, script))
        return handle

    def _site(self, model: type[R]) -> Site[R]:
        return site_in(self._store, model, "batch")

    def _site_of(self, record: Record) -> Site[Any]:
        return site_of(self._store, record, "batch")

    # The end.

    async def _send(self, calls: list[_Call]) -> None:
        backend = self._store.backend
        transport = backend.transport()
        outcomes: list[Any] = [None] * len(calls)
        unscripted: set[tuple[bytes, bytes]] = set()
        for _ in range(_ROUNDS):
            first = next((n for n, outcome in enumerate(outcomes) if outcome is None), None)
            if first is None:
                break
            # what has been written is not sent again: its answer may be acknowledged, and forgotten, by now
            due = [n for n in range(first, len(calls)) if not _has_written(outcomes[n])]
            for call in (calls[n] for n in due):
                if call.mutation is not None and call.sending is None:
                    call.sending = backend.writer.stamp(Step([(call.site.keyspace, call.mutation)]))
            found = await self._round(transport, [calls[n] for n in due], unscripted)
            for n, outcome in zip(due, found, strict=True):
                outcomes[n] = outcome
        for call, outcome in zip(calls, outcomes, strict=True):
            _settle(call, outcome)

    async def _round(
        self, transport: Transport, calls: list[_Call], unscripted: set[tuple[bytes, bytes]]
    ) -> list[Any]:
        """Send calls; what came of each: a reply, an error, or None where it has to be sent again."""
        scripts = {call.script for call in calls if call.script is not None}
        heads = {script: await transport.head(script) for script in scripts}
        commands = [self._with_script(call, heads, unscripted) for call in calls]
        try:
            replies = await transport.commands(commands, retry=True)
        except RedisomError as error:
            for call in self._calls:
                call.handle._fail(error)  # pyright: ignore[reportPrivateUsage]
            raise
        outcomes: list[Any] = []
        for call, command, reply in zip(calls, commands, replies, strict=True):
            code = reply.code if isinstance(reply, BackendError) else ""
            if code == "NOSCRIPT":
                unscripted.add(self._place(call))
                outcomes.append(None)
            elif call.script is not None and code in NOT_BEGUN and command[0] == b"FCALL":
                transport.refused(call.script, code)
                call.refused = True
                outcomes.append(None)
            else:
                outcomes.append(await self._judge(call, reply))
        return outcomes

    async def _judge(self, call: _Call, reply: Any) -> Any:
        if call.sending is None or isinstance(reply, RedisomError):
            return reply
        writer, sending = self._store.backend.writer, call.sending
        applied = await writer.settle(sending, reply)
        if applied is None or (applied.failures and await writer.bury(sending.step, applied.failures)):
            call.sending = None  # nothing was written, and what stood in the way is settled
            return None
        return applied

    def _place(self, call: _Call) -> tuple[bytes, bytes]:
        """A script and its server, or on a cluster the hash tag that leads to it: it is there either known or not."""
        assert call.script is not None
        keyspace = call.site.keyspace
        where = keyspace.bases[keyspace.partition(call.member)] if self._store.clustered else b""
        return call.script.sha, where

    def _with_script(
        self, call: _Call, heads: dict[Script, Head], unscripted: set[tuple[bytes, bytes]]
    ) -> Command:
        """A call's command; the first of a script that its server lacks brings the text along."""
        if call.script is None:
            return call.command
        place = self._place(call)
        if place in unscripted:
            unscripted.discard(place)
            return call.by((b"EVAL", call.script.text))
        return call.by((b"EVALSHA", call.script.sha) if call.refused else heads[call.script])


def _has_written(outcome: Any) -> bool:
    return isinstance(outcome, Applied) and not outcome.failures and outcome.results[0] != 0


def _settle(call: _Call, outcome: Any) -> None:
    handle = call.handle
    try:
        handle._set(call.read(_result(call, outcome)))  # pyright: ignore[reportPrivateUsage]  # the two are one
    except RedisomError as error:
        handle._fail(error)  # pyright: ignore[reportPrivateUsage]


def _result(call: _Call, outcome: Any) -> Any:
    match outcome:
        case RedisomError():
            raise outcome
        case None:
            raise BackendError(
                "the server and this process do not agree on the model's indexes or on the time"
            )
        case Applied(failures=[first, *_]):
            raise error_of(call.site.keyspace, first)
        case Applied():
            return outcome.results[0]
        case _:
            return outcome


def _object(site: Site[R], member: bytes, row: Any) -> R | None:
    whole = None if row is None else site.keyspace.whole(member, row)
    return None if whole is None else site.object(whole)


def _stored(site: Site[Any], record: R, row: mutations.Row, version: Any) -> R:
    written(site, record, row, version)
    return record
