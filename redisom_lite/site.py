"""Where the records of one manager are: its model, database and keys, and the lifetimes it gives.

What managers and objects share; everything they send goes through here, and it knows no queries.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from redisom_lite.engine.hydrate import hydrating
from redisom_lite.engine.step import Applied, Change
from redisom_lite.engine.store import Store
from redisom_lite.errors import NotFoundError, QueryError, RedisomError
from redisom_lite.schema import lifetime as lifetimes
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.lifetime import Lifetime
from redisom_lite.schema.model_schema import STEP_COST, ModelSchema
from redisom_lite.schema.mutations import Mutation, Row
from redisom_lite.schema.record import Record

M = TypeVar("M", bound=Record)

_WEIGHED: Final = 1000
_ENTRY: Final = 32  # bytes of tokens that cost about as much as one index entry


@dataclass(frozen=True, slots=True)
class Site(Generic[M]):
    """One manager's records. `ttl_ms` is the lifetime it gives (None: none), `sliding` whether it renews it."""

    model: type[M]
    manager: object
    store: Store
    keyspace: Keyspace
    ttl_ms: int | None = None
    sliding: bool = False
    hydrate: Callable[[Row], M] = field(init=False, compare=False, repr=False)
    """Makes an object of a row."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hydrate", hydrating(self.model, self.keyspace, self.manager))

    @property
    def schema(self) -> ModelSchema:
        return self.keyspace.schema

    @property
    def name(self) -> str:
        return self.model.__name__

    def first_lifetime(self, ttl: Lifetime | None) -> bytes:
        """The lifetime that storing a new object gives its record."""
        if ttl is None and self.ttl_ms is not None and not self.sliding:
            return lifetimes.at_first(self.ttl_ms)
        return self.lifetime(ttl)

    def lifetime(self, ttl: Lifetime | None) -> bytes:
        """The lifetime that changing a record gives it."""
        if ttl is not None:
            return lifetimes.exactly(lifetimes.milliseconds(ttl, f"{self.name}: a lifetime"))
        if self.sliding and self.ttl_ms is not None:
            return lifetimes.exactly(self.ttl_ms)
        return lifetimes.KEEP

    def member(self, record: Record) -> bytes:
        """The key of an object's record, in sort form."""
        return self.member_of(record.__dict__.get(self.schema.key.name))

    def member_of(self, pk: object) -> bytes:
        """A primary key in sort form; a UUID may be given as its text. `QueryError` for another type."""
        codec = self.keyspace.schema.key.codec
        try:
            return codec.member(UUID(pk) if codec.form == "UUID" and isinstance(pk, str) else pk)
        except (TypeError, ValueError) as error:
            raise QueryError(f"{self.name}.{self.schema.key.name}: {error}") from None

    def not_found(self) -> NotFoundError:
        return NotFoundError(
            f"{self.name}: there is no record with this key (it was deleted, or its lifetime has ended)",
            model=self.name,
        )

    def write(self, mutation: Mutation) -> Awaitable[Any]:
        """Apply one mutation; its result."""
        return self.store.backend.writer.one(self.keyspace, mutation)

    async def steps(
        self, members: Sequence[bytes], *, share: float = 1, most: int | None = None
    ) -> AsyncGenerator[list[bytes]]:
        """Keys of one partition in groups that one step each may change; `share` of a step, `most` at a time.

        Where records may hold any number of tags, the texts of their entries tell how many. Redis: HSTRLEN each.
        """
        cost, limit = self.schema.cost, STEP_COST * share
        most = max(1, min(most or self.schema.step, int(self.schema.step * share)))
        for first in range(0, len(members), _WEIGHED):
            part = members[first : first + _WEIGHED]
            sizes = [0] * len(part)
            if self.schema.multiple and len(part) > 1:
                commands = [(b"HSTRLEN", key, b"_ix") for key in self.keyspace.record_keys(part)]
                sizes = await self.commands(commands)
            group, total = list[bytes](), 0
            for member, size in zip(part, sizes, strict=True):
                each = cost + size // _ENTRY
                if group and (len(group) == most or total + each > limit):
                    yield group
                    group, total = [], 0
                group.append(member)
                total += each
            yield group

    async def apply(self, batch: Sequence[Mutation]) -> Applied:
        """Apply mutations of one partition in one step, each on its own."""
        changes: list[Change] = [(self.keyspace, mutation) for mutation in batch]
        return await self.store.backend.writer.apply(changes, each=True)

    def one(self, member: bytes) -> Awaitable[Row | None]:
        """A row by key, None where there is no record; its lifetime renewed when the manager slides."""
        return self._slid(member) if self.sliding else self.store.backend.reader.one(self.keyspace, member)

    async def _slid(self, member: bytes) -> Row | None:
        (row,) = await self.load([member])
        return row

    async def load(self, members: Sequence[bytes]) -> list[Row | None]:
        """Rows by key, lifetimes renewed when the manager slides."""
        reader = self.store.backend.reader
        if self.sliding and self.ttl_ms is not None:
            return await reader.load_sliding(self.keyspace, members, self.ttl_ms)
        return await reader.load(self.keyspace, members)

    async def objects(self, members: Sequence[bytes]) -> list[M | None]:
        """Objects by key, in order, None where there is no record; lifetimes renewed when the manager slides."""
        if self.sliding or len(members) == 1:
            return self._made(await self.load(members))
        made: list[M | None] = []
        async for rows in self.store.backend.reader.parts(self.keyspace, members):
            made += self._made(rows)
        return made

    async def commands(self, commands: Sequence[Sequence[bytes]]) -> list[Any]:
        """Read-only commands in one round trip."""
        replies = await self.store.transport.commands(commands, retry=True)
        for reply in replies:
            if isinstance(reply, RedisomError):
                raise reply
        return replies

    def _made(self, rows: Sequence[Row | None]) -> list[M | None]:
        hydrate = self.hydrate
        return [None if row is None else hydrate(row) for row in rows]

    def object(self, row: Row) -> M:
        return self.hydrate(row)
