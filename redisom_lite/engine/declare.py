"""Registering a process's declaration of a model with the server, once, and again when the server asks.

What the declaration's state means: `""` every index is ready; else `index:building` or `index:dirty`, joined by commas.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redisom_lite.engine.node import Arg
from redisom_lite.engine.scripts import load
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import DeclarationError, IndexNotReadyError
from redisom_lite.schema.keyspace import Keyspace


async def declare(transport: Transport, keyspace: Keyspace, partition: int, *, writer: bool) -> bytes:
    """Register, and return the state of the declared indexes.

    Raises:
        DeclarationError: the data was written with another number of partitions.
    """
    key, args = keyspace.registry(partition), declaration(keyspace, partition, writer=writer)
    return state_of(keyspace, await transport.call(load("declare"), [key], args))


def declaration(keyspace: Keyspace, partition: int, *, writer: bool) -> list[Arg]:
    """The arguments of declare.lua."""
    indexes = keyspace.indexes
    return [
        keyspace.bases[partition],
        b"1" if writer else b"0",
        keyspace.fingerprint,
        len(keyspace.bases),
        len(indexes),
        *(word for pair in indexes.items() for word in pair),
    ]


def state_of(keyspace: Keyspace, reply: Any) -> bytes:
    """What declare.lua answered."""
    if reply[0] == b"P":
        raise DeclarationError(
            f"{keyspace.schema.model}: the stored data has {reply[1].decode()} partitions, "
            f"the declaration {len(keyspace.bases)}: declare the same number, or write the data anew"
        )
    state: bytes = reply[1]
    return state


def require_ready(keyspace: Keyspace, state: bytes, indexes: Iterable[str]) -> None:
    """Raise IndexNotReadyError if one of `indexes` is building or dirty."""
    for index, what in waiting(state, indexes).items():
        model = keyspace.schema.model
        why = (
            "was declared after records had been written"
            if what == "building"
            else "misses records written by a process that does not declare it"
        )
        raise IndexNotReadyError(f"{model}: the index {index} {why}: run `await {model}.objects.reindex()`")


def waiting(state: bytes, indexes: Iterable[str]) -> dict[str, str]:
    """Those of `indexes` that are not ready, with what they are."""
    states = dict(entry.split(":", 1) for entry in state.decode().split(",")) if state else {}
    return {index: states[index] for index in sorted(indexes) if index in states}
