"""Running transactions: one attempt as a block, or a function that runs until its commit holds.

Calls of one event loop that met over a key go on one after the other (`engine/turns.py`): they would only make each
other fail. From the third run on there are pauses, which double, with full jitter, for competitors elsewhere.

A run that lost its connection without effect is repeated too. It is no conflict: when the runs are used up, or the
server stays away for half of what a step may take (a step waits for it by itself), the caller learns of the connection.
Nor is it one when a replica refused the commit: in a failover the next run finds the primary of then.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from math import inf
from typing import Any, Final, TypeVar

from redisom_lite.engine.failure import is_transient
from redisom_lite.engine.store import Store
from redisom_lite.engine.turns import Turn
from redisom_lite.errors import BackendError, ConflictError, QueryError, ReadOnlyError
from redisom_lite.transaction import StaleError, Transaction

T = TypeVar("T")

_LONGEST_PAUSE: Final = 0.2
_REFUSALS: Final = 3
"""How often a replica may refuse before it is none of a failover's."""


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
    _check_options(retries, backoff)
    signature = _signature(body)
    names = list(signature.parameters)
    place = 1 if names[:1] in (["self"], ["cls"]) else 0
    if len(names) <= place:
        raise QueryError("atomic's function takes the transaction first: async def transfer(tx, ...)")

    @wraps(body)
    async def run(*args: Any, **kwargs: Any) -> T:
        async def once(turn: Turn) -> T:
            transaction = Transaction(store, turn)
            try:
                result = await body(*args[:place], transaction, *args[place:], **kwargs)
                await transaction.commit()
                return result
            finally:
                await transaction.abandon()

        with Turn() as turn:
            return await _until_it_holds(once, turn, retries, backoff, store.timeout)

    # what callers see, and what FastAPI makes parameters of: the transaction is not theirs to give
    left = [parameter for n, parameter in enumerate(signature.parameters.values()) if n != place]
    run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]  # functions take attributes
    return run


def _check_options(retries: object, backoff: object) -> None:
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise QueryError("atomic(retries=...) takes a whole number from 0 on")
    if not isinstance(backoff, int | float) or isinstance(backoff, bool) or not 0 <= backoff < inf:
        raise QueryError("atomic(backoff=...) takes seconds from 0 on")


def _signature(body: object) -> inspect.Signature:
    """The parameters of a coroutine function, or of what stands in for one (a partial, a callable object)."""
    called = getattr(body, "__call__", None)  # noqa: B004 - what it is matters
    if not any(map(inspect.iscoroutinefunction, (body, called))):
        raise QueryError("atomic decorates a coroutine function: async def transfer(tx, ...)")
    return inspect.signature(body)  # type: ignore[arg-type]  # one of the two can be called


async def _until_it_holds(
    once: Callable[[Turn], Awaitable[T]], turn: Turn, retries: int, backoff: float, timeout: float
) -> T:
    now = asyncio.get_running_loop().time
    lost_since: float | None = None
    for attempt in range(retries + 1):
        began = now()
        try:
            return await once(turn)
        except StaleError as stale:
            if attempt == retries:
                raise _conflict(attempt + 1, stale.keys) from None
            turn.claim(stale.keys)
            lost_since = None
        except BackendError as error:
            lost_since = began if lost_since is None else lost_since
            soon = now() - lost_since < timeout / 2
            passing = is_transient(error) or (isinstance(error, ReadOnlyError) and attempt < _REFUSALS)
            if attempt == retries or error.outcome != "none" or not passing or not soon:
                raise
        if attempt:
            await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, backoff * 2 ** min(attempt, 30))))
    raise AssertionError("a loop of at least one run ended without one")


def _conflict(attempts: int, keys: Sequence[bytes]) -> ConflictError:
    runs = "1 run" if attempts == 1 else f"{attempts} runs"
    return ConflictError(
        f"what the transaction read has changed before its commit, in {runs}: nothing was written, try again",
        attempts=attempts,
        keys=[key.decode("ascii", "replace") for key in keys if _is_of_record(key)],
    )


def _is_of_record(key: bytes) -> bool:
    """Whether a key is a record's, not an index's: `{tag}...:r:...`."""
    return key.partition(b"}")[2].partition(b":")[2].startswith(b"r:")
