"""`Batch`: different reads and writes in one round trip, each with its own result or error.

Unlike a transaction it promises nothing about the whole: other writers may come in between, and what fails leaves the
others alone. The calls take effect in the order they were made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from redisom_lite.engine.scripts import load
from redisom_lite.engine.store import Store
from redisom_lite.engine.writer import Sending, Step
from redisom_lite.errors import BackendError, QueryError, RedisomError
from redisom_lite.manager import manager_of
from redisom_lite.saving import insert_mutation, save_mutation, written
from redisom_lite.schema import mutations
from redisom_lite.schema.lifetime import Lifetime, exactly, milliseconds
from redisom_lite.schema.record import Record, set_state
from redisom_lite.site import Site

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
R = TypeVar("R", bound=Record)


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
    """One call: what is sent, and what its reply means."""

    handle: Handle[Any]
    site: Site[Any]
    member: bytes
    read: Callable[[Any], Any]
    mutation: mutations.Mutation | None = None
    command: tuple[bytes, ...] = ()
    sending: Sending | None = None


class Batch:
    """Collects calls until its block ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls: list[_Call] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *exc: object) -> None:
        if kind is None:
            await self._send()

    # Reads.

    def get(self, model: type[R], pk: Any) -> Handle[R]:
        """The record with this key; the result raises `NotFoundError` when there is none."""
        site = self._site(model)

        def read(row: Any) -> R:
            whole = site.keyspace.whole(member, row)
            if whole is None:
                raise site.not_found()
            return site.object(whole)

        member = site.member_of(pk)
        return self._read(site, member, read)

    def get_or_none(self, model: type[R], pk: Any) -> Handle[R | None]:
        """The record with this key, or None."""
        site = self._site(model)
        member = site.member_of(pk)

        def read(row: Any) -> R | None:
            whole = site.keyspace.whole(member, row)
            return None if whole is None else site.object(whole)

        return self._read(site, member, read)

    def exists(self, model: type[Record], pk: Any) -> Handle[bool]:
        """Whether there is a record with this key."""
        site = self._site(model)
        member = site.member_of(pk)
        command = (b"EXISTS", site.keyspace.record_key(member))
        handle = Handle[bool]()
        return self._add(handle, _Call(handle, site, member, bool, command=command))

    def _read(self, site: Site[Any], member: bytes, read: Callable[[Any], T]) -> Handle[T]:
        command = (b"HMGET", site.keyspace.record_key(member), *site.keyspace.names)
        handle = Handle[T]()
        return self._add(handle, _Call(handle, site, member, read, command=command))

    # Writes.

    def save(self, record: R, *, ttl: Lifetime | None = None) -> Handle[R]:
        """Save this object, as it is now."""
        site = self._site_of(record)
        mutation, row = save_mutation(site, record, ttl)
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
        handle = Handle[T]()
        return self._add(handle, _Call(handle, site, mutation.member, read, mutation=mutation))

    def _add(self, handle: Handle[T], call: _Call) -> Handle[T]:
        self._calls.append(call)
        return handle

    def _site(self, model: type[R]) -> Site[R]:
        manager: Any = getattr(model, "objects")  # noqa: B009 - declared a floor above
        site: Site[R] = manager.site()
        if site.store is not self._store:
            raise QueryError(f"{model.__name__} lives in another database than this batch")
        return site

    def _site_of(self, record: Record) -> Site[Any]:
        site: Site[Any] = manager_of(record).site()
        return site if site.store is self._store else self._site(type(record))

    # The end.

    async def _send(self) -> None:
        calls, self._calls = self._calls, []
        if not calls:
            return
        writer, script = self._store.backend.writer, load("apply")
        commands: list[tuple[Any, ...]] = []
        for call in calls:
            if call.mutation is not None:
                call.sending = writer.stamp(Step([(call.site.keyspace, call.mutation)]))
                keys = call.sending.step.keys
                commands.append((b"EVALSHA", script.sha, len(keys), *keys, *call.sending.args))
            else:
                commands.append(call.command)
        for call, reply in zip(
            calls, await self._store.transport.commands(commands, retry=True), strict=True
        ):
            await self._settle(call, reply)

    async def _settle(self, call: _Call, reply: Any) -> None:
        try:
            call.handle._set(call.read(await self._result(call, reply)))  # pyright: ignore[reportPrivateUsage]
        except RedisomError as error:
            call.handle._fail(error)  # pyright: ignore[reportPrivateUsage]  # the two are one

    async def _result(self, call: _Call, reply: Any) -> Any:
        writer = self._store.backend.writer
        if isinstance(reply, BackendError) and reply.code == "NOSCRIPT":
            reply = None
        if isinstance(reply, RedisomError):
            raise reply
        if call.sending is None or call.mutation is None:
            return reply
        applied = None if reply is None else await writer.settle(call.sending, reply)
        if applied is None or applied.failures:
            # nothing was written: send it on its own, which settles what stood in the way or raises why it cannot be
            return await writer.one(call.site.keyspace, call.mutation)
        return applied.results[0]


def _stored(site: Site[Any], record: R, row: mutations.Row, version: Any) -> R:
    written(site, record, row, version)
    return record
