"""A store: a namespace on a server, with the one reader and the one writer of what is in it.

`Database` is a store with the transactions added. Nothing is opened at import or construction. The connections belong
to the running event loop and end with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from redisom_lite.engine.address import parse
from redisom_lite.engine.pool import DEFAULT_TIMEOUT, Connections
from redisom_lite.engine.reader import Reader
from redisom_lite.engine.transport import Transport
from redisom_lite.engine.writer import Writer
from redisom_lite.errors import BackendError, DeclarationError, NotBoundError, RedisomError
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import ModelSchema
from redisom_lite.schema.record import Record

if TYPE_CHECKING:
    from typing import Self

_LONGEST_STEP = 86_400


class Backend:
    """One way to a server: its connections, and the one reader and writer over them."""

    def __init__(self, url: str, *, timeout: float, multiplex: bool, client: Any = None) -> None:
        self.connections = Connections(parse(url), timeout=timeout, multiplex=multiplex, client=client)
        self.between: Callable[[Transport], Transport] | None = None
        """What stands between the mapper and the server: for tests, which count calls or make them fail."""
        self.reader = Reader(self.transport)
        self.writer = Writer(self.transport, timeout)

    def transport(self) -> Transport:
        """The running loop's transport."""
        transport = self.connections.transport()
        return transport if self.between is None else self.between(transport)

    async def tidy(self) -> None:
        """Clean up what reading noticed: overdue records, and entries of records that are gone.

        Where writing is not allowed (a replica, a read-only user) nothing happens, and nothing is wrong.
        """
        reader = self.reader
        if not reader.overdue and not reader.missing:
            return
        overdue, missing = list(reader.overdue), list(reader.missing)
        reader.overdue.clear()
        reader.missing.clear()
        with suppress(BackendError):
            for keyspace, partition in overdue:
                await self.writer.sweep(keyspace, partition, keyspace.schema.step)
            gone: dict[tuple[Keyspace, int], list[bytes]] = {}
            for keyspace, member in missing:
                gone.setdefault((keyspace, keyspace.partition(member)), []).append(member)
            for (keyspace, _), members in gone.items():
                await self.writer.look(keyspace, members)


class Store:
    """What `Database` is to everything that reads and writes records; see there for the arguments."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "",
        client: Any = None,
        timeout: float = DEFAULT_TIMEOUT,
        multiplex: bool = True,
    ) -> None:
        self._namespace = namespace
        self._timeout = _seconds(timeout)
        self._multiplex = multiplex
        self._backends = [Backend(url, timeout=self._timeout, multiplex=multiplex, client=client)]
        self._keyspaces: dict[ModelSchema, Keyspace] = {}
        self._entered = 0

    @classmethod
    def from_env(cls, *, namespace: str = "") -> Self:
        """The database of `REDISOM_URL`, else `REDIS_URL`, else `memory://`."""
        url = os.environ.get("REDISOM_URL") or os.environ.get("REDIS_URL") or "memory://"
        return cls(url, namespace=namespace)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.backend.connections.address}>"

    @property
    def namespace(self) -> str:
        return self._namespace

    @property
    def timeout(self) -> float:
        """Seconds one step may take."""
        return self._timeout

    @property
    def backend(self) -> Backend:
        return self._backends[-1]

    @property
    def transport(self) -> Transport:
        """The running loop's transport."""
        return self.backend.transport()

    @property
    def clustered(self) -> bool:
        """Whether keys lie in slots, so that one step reaches only one of them."""
        return self.backend.connections.address.kind == "cluster"

    @property
    def redis(self) -> Any:
        """The raw `redis.asyncio` client of the running event loop."""
        return self.backend.connections.redis()

    async def ping(self) -> bool:
        """Ask the server for a sign of life. Redis: PING. Raises `BackendError` when there is none."""
        (reply,) = await self.transport.commands([(b"PING",)], retry=True)
        if isinstance(reply, RedisomError):
            raise reply
        return True

    async def aclose(self) -> None:
        """Close every connection; what is under way has a second to finish. Used again, it opens anew."""
        for backend in self._backends:
            await backend.connections.aclose()

    async def __aenter__(self) -> Self:
        self._entered += 1
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._entered -= 1
        if not self._entered:
            await self.aclose()

    def bind(self, *models: type[Record]) -> None:
        """Make these models, and their subclasses, live in this database; wins over `Meta(db=...)`."""
        for model in models:
            model.__redisom_database__ = self

    def holds(self, model: type[Record]) -> bool:
        """Whether a model lives here and can have records."""
        return store_of(model) is self and bool(model.__redisom_schema__)

    def override(self, url: str) -> AbstractContextManager[Self]:
        """Go elsewhere for a while: `with db.override("memory://test"):`. Nests; concerns every task and thread."""
        return self._override(url)

    @contextmanager
    def _override(self, url: str) -> Generator[Self]:
        backend = Backend(url, timeout=self._timeout, multiplex=self._multiplex)
        self._backends.append(backend)
        try:
            yield self
        finally:
            self._backends.remove(backend)

    def keyspace(self, schema: ModelSchema) -> Keyspace:
        """Where a model's keys are in this database."""
        keyspace = self._keyspaces.get(schema)
        if keyspace is None:
            keyspace = self._keyspaces[schema] = Keyspace(schema, self._namespace)
        return keyspace


def _seconds(timeout: object) -> float:
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout <= _LONGEST_STEP:
        raise DeclarationError("Database(timeout=...) takes seconds, more than zero and at most a day")
    return timeout


def store_of(model: type[Record]) -> Store:
    """The database a model is bound to; `NotBoundError` when it is to none."""
    store = model.__redisom_database__
    if store is None:
        store = getattr(getattr(model, "meta", None), "db", None)
    if not isinstance(store, Store):
        name = model.__name__
        raise NotBoundError(
            f"{name} is bound to no database: declare meta = Meta(db=...), or call db.bind({name})"
        )
    return store
