"""The frozen description of one model class: its fields, its indexes, its place in the key space.

A `ModelSchema` is made once, from the class body (`schema/declaration.py`), and is all that the floors above need to
know of a model. It holds no connection and no class-level state; `positions` count from 0 in declaration order, and a
*row* is a list of stored texts in that order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from redisom_lite.codec.scalars import INT

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from redisom_lite.codec import Codec


_RECORDS: Final = 150
STEP_COST: Final = 400
_FIELDS: Final = 8  # cost about as much as one entry


class Kind(Enum):
    """How a field is indexed. `NUMBER` and `TEXT` are the two shapes of `Range`."""

    STORED = "stored"
    KEY = "key"
    NUMBER = "number"
    TEXT = "text"
    TAG = "tag"
    UNIQUE = "unique"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The declared limits of a number, each `None` when absent: `ge`/`le` inclusive, `gt`/`lt` exclusive."""

    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FieldSpec:
    """One field of a model.

    `codec` is that of a single non-None value; for a multi-valued tag `codec` stores the whole collection and
    `member` is the codec of one of its members (`None` for every other field). `ttl_ms` is how long a value stays
    once it is written (None: as long as the record).
    """

    model: str
    name: str
    position: int
    kind: Kind
    codec: Codec
    nullable: bool = False
    member: Codec | None = None
    bounds: Bounds = Bounds()
    ttl_ms: int | None = None
    word: bytes = field(init=False)
    """The name as it is stored."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "word", self.name.encode())

    def __repr__(self) -> str:
        return f"{self.model}.{self.name}"

    @property
    def indexed(self) -> bool:
        return self.kind is not Kind.STORED

    @property
    def multiple(self) -> bool:
        return self.member is not None


@dataclass(frozen=True, slots=True)
class CompositeSpec:
    """One sorted set per value of `tag`, scored by `range` (both field names)."""

    tag: str
    range: str


@dataclass(frozen=True, slots=True, eq=False)
class ModelSchema:
    """One concrete model.

    `hydrator` turns `{field name: stored text or None}` into an instance in one call (None stands for a field whose
    stored value is None; absent fields take their default), `row_hydrator` the texts of all fields, as `ArgsKwargs`;
    `checker` turns an instance's `__dict__` into a dict of values that satisfy the declared types and constraints, or
    raises pydantic's ValidationError. None of them runs validators that users wrote: those belong to construction and
    `update`.
    """

    model: str
    prefix: str
    key: FieldSpec
    fields: tuple[FieldSpec, ...]
    by_name: Mapping[str, FieldSpec]
    composites: tuple[CompositeSpec, ...]
    hydrator: SchemaValidator
    row_hydrator: SchemaValidator
    checker: SchemaValidator
    group: str | None = None
    partitions: int = 1
    evictable: bool = False
    versioned: bool = False

    @property
    def cost(self) -> int:
        """What writing a record costs the server, in index entries: these more than the fields, which count as some."""
        entries = 1 + sum(spec.indexed for spec in self.fields) + len(self.composites)
        return entries + len(self.fields) // _FIELDS

    @property
    def step(self) -> int:
        """How many records one call may write, so that it keeps the server for a few ms."""
        return max(1, min(_RECORDS, STEP_COST // self.cost))

    @property
    def multiple(self) -> bool:
        """Whether records may have any number of index entries, by tags that hold several values."""
        return any(spec.multiple for spec in self.fields)

    @property
    def fading(self) -> tuple[FieldSpec, ...]:
        """The fields whose values have a lifetime of their own."""
        return tuple(spec for spec in self.fields if spec.ttl_ms is not None)


DEADLINE: Final = "@due"
"""Stands where a field's name would for what no field holds: when a record ends."""


@cache
def deadline_of(schema: ModelSchema) -> FieldSpec:
    """The deadline of a model's records as a number to order by, in ms since 1970; its place is behind the row."""
    position = len(schema.fields) + 1 + schema.versioned
    return FieldSpec(schema.model, DEADLINE, position, Kind.NUMBER, INT)
