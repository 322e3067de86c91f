"""`Query[M]`: what to find, built step by step, run when awaited.

A query is immutable: every step gives a new one. Building it does no I/O; each method that runs it says which round
trips it takes. Without `order_by` the order is that of the primary key.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from redisom_lite.columns import Column
from redisom_lite.engine.store import Store, store_of
from redisom_lite.engine.finding import Trace
from redisom_lite.engine.hydrate import hydrate
from redisom_lite.errors import MultipleFoundError, NotFoundError, QueryError
from redisom_lite.paging import Page, open_cursor, seal_cursor
from redisom_lite.plan.expression import And, Condition, Not, Or, Term
from redisom_lite.plan.ordering import After, columns
from redisom_lite.plan.planner import Plan as QueryPlan, Selection, guard, plan
from redisom_lite.schema import mutations
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import FieldSpec, Kind, ModelSchema
from redisom_lite.schema.record import Record

M = TypeVar("M", bound=Record)

BATCH = 500


@dataclass(frozen=True, slots=True)
class Source(Generic[M]):
    """What a query reads from: a model, and the manager whose lifetimes its records follow."""

    model: type[M]
    manager: object


class Query(Generic[M]):
    """Records of one model that satisfy conditions, in an order. Await it for the list."""

    __slots__ = ("_select", "_source")

    def __init__(self, source: Source[M], selection: Selection) -> None:
        self._source = source
        self._select = selection

    def __repr__(self) -> str:
        return f"<Query of {self._source.model.__name__}>"

    @property
    def model(self) -> type[M]:
        """The model whose records it finds."""
        return self._source.model

    @property
    def selection(self) -> Selection:
        """What it asks, as data."""
        return self._select

    # Building.

    def where(self, *conditions: Condition) -> Query[M]:
        """Require these conditions too."""
        schema = self._select.schema
        for condition in conditions:
            check_condition(schema, condition)
        return self._with(where=(*self._select.where, *conditions))

    def order_by(self, *terms: Term | Column[Any]) -> Query[M]:
        """Order by these terms, the first first; replaces an earlier order.

        A bare column is ascending. `None` sorts last in either direction; ties break by key in the direction of the
        last term.
        """
        return self._with(order=tuple(_term(self._select.schema, term) for term in terms))

    def limit(self, n: int) -> Query[M]:
        """At most the first `n` records, `n` from 0."""
        return self._with(limit=_count("limit", n))

    def offset(self, n: int) -> Query[M]:
        """Leave out the first `n` records, `n` from 0. For pages, `page` neither skips nor repeats."""
        return self._with(offset=_count("offset", n))

    def _with(self, **changes: Any) -> Query[M]:
        return Query(self._source, replace(self._select, **changes))

    # Running.

    def __await__(self) -> Generator[Any, None, list[M]]:
        return self.all().__await__()

    async def all(self) -> list[M]:
        """Every record, in order. Records are read whole; one round trip for each budget of server work."""
        run = self._run()
        found = await run.reader.rows(run.keyspace, run.plan)
        await run.store.backend.tidy()
        return [self._object(run.keyspace, row) for _, row in found]

    async def first(self) -> M | None:
        """The first record, or None."""
        limit = self._select.limit
        found = await self._with(limit=1 if limit is None else min(limit, 1)).all()
        return found[0] if found else None

    async def one(self) -> M:
        """The only record; `NotFoundError` when there is none, `MultipleFoundError` when there are more."""
        limit = self._select.limit
        found = await self._with(limit=2 if limit is None else min(limit, 2)).all()
        name = self._source.model.__name__
        if not found:
            raise NotFoundError(f"{name}: no record satisfies the query", model=name)
        if len(found) > 1:
            raise MultipleFoundError(f"{name}: several records satisfy the query: narrow it, or use first()", model=name)
        return found[0]

    async def count(self) -> int:
        """How many records; `limit` and `offset` are respected. Reads no record."""
        run = self._run(order=())
        total = await run.reader.count(run.keyspace, run.plan)
        await run.store.backend.tidy()
        total = max(0, total - self._select.offset)
        return total if self._select.limit is None else min(total, self._select.limit)

    async def exists(self) -> bool:
        """Whether there is any record."""
        limit = self._select.limit
        run = self._run(limit=1 if limit is None else min(limit, 1), order=())
        return bool(await run.reader.members(run.keyspace, run.plan))

    async def pks(self) -> list[Any]:
        """The primary keys, in order. Reads no record."""
        run = self._run()
        members = await run.reader.members(run.keyspace, run.plan)
        await run.store.backend.tidy()
        of_member = run.keyspace.schema.key.codec.of_member
        return [of_member(member) for member in members]

    async def values(self, *fields: str | Column[Any]) -> list[dict[str, Any]]:
        """Dicts of the named fields (all of them when none is named), in order, of real Python types."""
        schema = self._select.schema
        specs = [_named(schema, field) for field in fields] or list(schema.fields)
        return [{spec.name: getattr(record, spec.name) for spec in specs} for record in await self.all()]

    def __aiter__(self) -> AsyncIterator[M]:
        return self._each()

    async def _each(self) -> AsyncGenerator[M]:
        async for batch in self.batches(BATCH):
            for record in batch:
                yield record

    async def batches(self, size: int) -> AsyncGenerator[list[M]]:
        """Lists of up to `size` records, in order, holding one list at a time.

        Each is read when it is asked for, behind the last record of the one before: under concurrent writes no
        record that stays put is skipped or repeated.
        """
        if size < 1 or isinstance(size, bool):
            raise QueryError(f"{self._source.model.__name__}: a batch has at least 1 record")
        left, offset, after = self._select.limit, self._select.offset, None
        while left is None or left > 0:
            asked = size if left is None else min(size, left)
            found = await self._behind(after, asked, offset)
            if not found:
                return
            yield [record for record, _ in found]
            if len(found) < asked:
                return
            after, offset = found[-1][1], 0
            left = None if left is None else left - asked

    async def page(self, *, size: int = 20, after: str | None = None) -> Page[M]:
        """`size` records behind the cursor `after`, and the cursor of the next page (None: this was the last).

        Raises `QueryError` for a damaged cursor, one of another query, and on a query with a limit or an offset.
        """
        if self._select.limit is not None or self._select.offset:
            raise QueryError(f"{self._source.model.__name__}: a query with limit or offset has no pages: leave them out")
        if isinstance(size, bool) or size < 1:
            raise QueryError(f"{self._source.model.__name__}: a page has at least 1 record")
        start = None if after is None else open_cursor(self._select, after)
        found = await self._behind(start, size + 1, 0)
        items = [record for record, _ in found[:size]]
        more = len(found) > size
        return Page(items, seal_cursor(self._select, found[size - 1][1]) if more else None)

    async def _behind(self, after: After | None, limit: int, offset: int) -> list[tuple[M, After]]:
        run = self._run(limit=limit, offset=offset)
        found = await run.reader.rows(run.keyspace, run.plan, after=after)
        await run.store.backend.tidy()
        specs = columns(self._select.order)
        return [
            (self._object(run.keyspace, row), After(member, tuple(row[spec.position] for spec in specs)))
            for member, row in found
        ]

    def _object(self, keyspace: Keyspace, row: list[bytes | None]) -> M:
        return hydrate(self._source.model, keyspace, row, self._source.manager)

    def _run(self, **changes: Any) -> _Run:
        store = store_of(self._source.model)
        selection = replace(self._select, **changes) if changes else self._select
        return _Run(store, store.keyspace(selection.schema), plan(selection))


@dataclass(frozen=True, slots=True)
class _Run:
    """A query about to run: its database, its keys, its plan."""

    store: Store
    keyspace: Keyspace
    plan: QueryPlan

    @property
    def reader(self) -> Any:
        return self.store.backend.reader


def check_condition(schema: ModelSchema, condition: object) -> None:
    """Refuse what is no condition, and conditions on another model's columns."""
    match condition:
        case And(items) | Or(items):
            for item in items:
                check_condition(schema, item)
        case Not(item):
            check_condition(schema, item)
        case Condition():
            _check_field(schema, condition.field)  # type: ignore[attr-defined]  # every leaf has one
        case bool():
            raise QueryError(
                f"{schema.model}: a condition is a comparison of columns, as in {schema.model}.{schema.key.name} == ...: "
                "an unindexed field compares to a plain bool, and cannot be queried"
            )
        case _:
            raise QueryError(f"{schema.model}: {type(condition).__name__} is no condition: compare columns")


def _check_field(schema: ModelSchema, field: FieldSpec) -> None:
    if schema.by_name.get(field.name) is not field:
        raise QueryError(f"{schema.model}: {field.model}.{field.name} is a column of another model")


def _term(schema: ModelSchema, term: object) -> Term:
    found = term.asc() if isinstance(term, Column) else term
    if not isinstance(found, Term):
        raise QueryError(f"{schema.model}: order by columns or their asc() and desc(), not {type(term).__name__}")
    _check_field(schema, found.field)
    return found


def _named(schema: ModelSchema, field: str | Column[Any]) -> FieldSpec:
    name = field.name if isinstance(field, Column) else field
    spec = schema.by_name.get(name)
    if spec is None:
        raise QueryError(f"{schema.model} has no field {name!r}: name one of its fields")
    return spec


def _count(what: str, n: object) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise QueryError(f"{what}() takes a whole number from 0 on")
    return n
