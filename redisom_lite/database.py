"""`Database`: where models live, and the transactions and batches over them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, overload

from redisom_lite.atomic import one_attempt, repeated
from redisom_lite.batch import Batch
from redisom_lite.engine.store import Store
from redisom_lite.schema.lifetime import Lifetime, milliseconds
from redisom_lite.sweeping import sweeper
from redisom_lite.transaction import Transaction

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

_BACKOFF: Final = 0.001


class Atomic(Protocol):
    """What `db.atomic(...)` gives: a decorator of functions and of methods."""

    @overload
    def __call__(
        self, body: Callable[Concatenate[Transaction, P], Coroutine[Any, Any, T]], /
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(
        self, body: Callable[Concatenate[S, Transaction, P], Coroutine[Any, Any, T]], /
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]: ...


class Database(Store):
    """A Redis or Valkey server, or something that stands in for one.

    - `url`: `redis://`, `rediss://`, `unix://`, `redis+sentinel://h1,h2/service`, `redis+cluster://h1,h2`,
      `memory://name` (in this process, no server), `embedded://` or `embedded:///folder` (a private real server,
      started on first use and stopped with the program).
    - `namespace`: put before every key; databases with the same url and namespace share data.
    - `client`: a `redis.asyncio` client of yours to send everything through, instead of connections to `url`.
    - `timeout`: seconds one step may take, repetitions after a lost connection included.
    - `multiplex`: whether the calls of an event loop share one connection; switched off, each has its own.

    Models are bound by `Meta(db=...)` or `db.bind(...)`. `async with db:` closes the connections at its end; without
    it they close with their event loop.
    """

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """One attempt: `async with db.transaction() as tx:`. The block's end commits all its writes or none.

        `ConflictError` if anything read has changed; an exception in the block, or its cancellation, writes nothing.
        """
        return one_attempt(self)

    @overload
    def atomic(
        self, body: Callable[Concatenate[Transaction, P], Coroutine[Any, Any, T]], /
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def atomic(
        self, body: Callable[Concatenate[S, Transaction, P], Coroutine[Any, Any, T]], /
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]: ...
    @overload
    def atomic(self, /, *, retries: int = 10, backoff: float = _BACKOFF) -> Atomic: ...
    def atomic(
        self, body: Callable[..., Any] | None = None, /, *, retries: int = 10, backoff: float = _BACKOFF
    ) -> Any:
        """Make a coroutine function, whose first parameter is the transaction, one that runs until it commits.

        Of a method it is the parameter after `self`. Callers leave it out: `@db.atomic` or `@db.atomic(retries=3)`
        above `async def transfer(tx, a, b)` makes `await transfer(a, b)`.

        It runs again, up to `retries` times, when what it read has changed; then `ConflictError` tells the runs made
        and the keys. Calls of one event loop that met over a key go on one after the other; besides, there are pauses
        that double, with jitter, `backoff` seconds the first one's upper limit. A connection lost without effect costs
        a run; of another, `BackendError.outcome` tells whether all was written. One called in another is a transaction
        of its own. `QueryError` for what is no coroutine function, or for options that cannot be.
        """
        if body is not None:
            return repeated(self, body, retries, backoff)
        return partial(repeated, self, retries=retries, backoff=backoff)

    def sweeper(self, *, interval: Lifetime = 1.0) -> AbstractAsyncContextManager[None]:
        """Clean up after expired records in the background: `async with db.sweeper(interval=5):`.

        Sweeps every model of this database each `interval` (a timedelta, seconds, or text such as "30s") while the
        block runs. Answers are right without it; it keeps the indexes of idle models small.
        """
        return sweeper(self, milliseconds(interval, "sweeper(interval=...)") / 1000)

    def batch(self) -> Batch:
        """Collect reads and writes of any models: `async with db.batch() as b:`. One round trip, at the block's end.

        Each call returns a handle whose `result` is set then, or whose error is raised by `result`.
        """
        return Batch(self)
