"""The background sweeper: cleaning up after expired records of models that nobody reads or writes.

Queries and writes clean a few overdue records each time, so a model in use needs none of this; an idle one keeps the
index entries of what has expired until it is used again, or swept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress

from redisom_lite.engine.background import beside
from redisom_lite.engine.store import Store
from redisom_lite.errors import RedisomError
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.record import Record


def models_of(store: Store) -> Iterator[type[Record]]:
    """Every model of this process that lives in a store and can have records."""
    waiting = list(Record.__subclasses__())
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        with suppress(RedisomError):  # abstract, or bound to no database
            if store.holds(model):
                yield model


@asynccontextmanager
async def sweeper(store: Store, interval: float) -> AsyncGenerator[None]:
    """Sweep every model of the store each `interval` seconds while the block runs; see `Database.sweeper`."""
    async with beside(_sweep_forever(store, interval)):
        yield


async def _sweep_forever(store: Store, interval: float) -> None:
    while True:
        for model in list(models_of(store)):
            # a server that is away, one that may only be read, a model declared otherwise: tried again next turn
            with suppress(RedisomError):
                await _sweep(store, store.keyspace(model.__redisom_schema__))
        await asyncio.sleep(interval)


async def _sweep(store: Store, keyspace: Keyspace) -> None:
    for partition in range(len(keyspace.bases)):
        while await store.backend.writer.sweep(keyspace, partition, keyspace.schema.step):
            pass
