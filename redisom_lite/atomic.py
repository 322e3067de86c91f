"""Running transactions: one attempt as a block, or a function that runs until its commit holds.

Pauses between runs double, with full jitter. Runs of one process that met over a key queue up from their second run on:
they would only make each other fail. The queue is a courtesy, waited in for a bounded time; WATCH decides.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from redisom_lite.engine.failure import is_transient
from redisom_lite.engine.store import Store
from redisom_lite.errors import BackendError, ConflictError, QueryError
from redisom_lite.transaction import StaleError, Transaction

T = TypeVar("T")

_LONGEST_PAUSE: Final = 0.2
_QUEUE_PATIENCE: Final = 1.0


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
    store: Store, body: Callable[..., Awaitable[T]], retries: int, backoff: float
) -> Callable[..., Awaitable[T]]:
    """See `Database.atomic`."""
    if isinstance(retries, bool) or retries < 0:
        raise QueryError("atomic(retries=...) takes a whole number from 0 on")
    signature = inspect.signature(body)
    names = list(signature.parameters)
    place = 1 if names[:1] in (["self"], ["cls"]) else 0

    @wraps(body)
    async def run(*args: Any, **kwargs: Any) -> T:
        async def once() -> T:
            transaction = Transaction(store)
            try:
                result = await body(*args[:place], transaction, *args[place:], **kwargs)
                await transaction.commit()
                return result
            finally:
                await transaction.abandon()

        return await _until_it_holds(once, retries, backoff)

    # what callers see, and what FastAPI makes parameters of: the transaction is not theirs to give
    left = [parameter for n, parameter in enumerate(signature.parameters.values()) if n != place]
    run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]  # functions take attributes
    return run


_queues: Final[WeakValueDictionary[tuple[int, bytes], asyncio.Lock]] = WeakValueDictionary()


async def _until_it_holds(once: Callable[[], Awaitable[T]], retries: int, backoff: float) -> T:
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
            queue = _queue_of(stale.keys)
        except BackendError as error:
            # the server answered, and says that a little later it would do it (a cluster slot moves, data loads)
            if attempt == retries or error.outcome != "none" or not error.code or not is_transient(error):
                raise
        if attempt:
            await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, backoff * 2**attempt)))
    raise AssertionError("a loop of at least one run ended without one")


def _queue_of(keys: Sequence[bytes]) -> asyncio.Lock:
    """Where the runs of this event loop that conflict over the same first key wait for each other."""
    name = (id(asyncio.get_running_loop()), keys[0])
    queue = _queues.get(name)
    if queue is None:
        queue = _queues[name] = asyncio.Lock()
    return queue


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
