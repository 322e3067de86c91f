"""What a model says of itself besides its fields: its database, its place in the key space, its composites.

Plain data, checked where it meets the fields (`schema/declaration.py`); knows neither pydantic nor Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class Binding(Protocol):
    """What `Meta(db=...)` takes: a `Database`, of which a declaration needs to know nothing but this."""

    @property
    def namespace(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Composite:
    """An index over a `Tag` and a `Range` field: one sorted set per tag value.

    Looks up, counts and pages in order the records of one tag value by their range value, in
    O(log N + answer). Records whose range value is `None` are outside it.
    """

    tag: str
    range: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The options of a model, given as `meta = Meta(...)` in its body.

    - `db`: where its records live; inherited by subclasses. `db.bind(Model)` is the alternative.
    - `prefix`: what its keys start with, the class name in snake case by default. It is a storage contract:
      with an explicit prefix a class can be renamed and loses nothing. Not inherited: each model has keys
      of its own.
    - `indexes`: `Composite` indexes.
    - `partitions`: over how many hash tags, hence cluster nodes, the records are spread.
    - `group`: models of one group share a hash tag, so that a transaction across them works on a cluster.
    - `evictable`: the server may evict records to free memory (`maxmemory-policy volatile-*`).
    - `versioned`: a save based on an outdated read raises `ConflictError`.
    """

    db: Binding | None = None
    prefix: str | None = None
    indexes: Sequence[Composite] = ()
    partitions: int = 1
    group: str | None = None
    evictable: bool = False
    versioned: bool = False
