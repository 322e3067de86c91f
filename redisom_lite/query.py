"""`Query[M]`: what to find, built step by step, run when awaited.

A query is immutable: every step gives a new one. Building it does no I/O; each method that runs it says which round
trips it takes. Without `order_by` the order is that of the primary key.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from redisom_lite import aggregates, rewriting, scanning, tagging
from redisom_lite.columns import Column, MultiTagColumn
from redisom_lite.engine.finding import Decision, Trace
from redisom_lite.engine.picking import pick
from redisom_lite.engine.reading import Reading
from redisom_lite.errors import MultipleFoundError, NotFoundError, QueryError
from redisom_lite.paging import Page, open_cursor, seal_cursor
from redisom_lite.plan.explain import Actual, Plan, explained
from redisom_lite.plan.expression import And, Condition, Not, Or, Term
from redisom_lite.plan.ordering import After, columns
from redisom_lite.plan.planner import QueryPlan, Selection
from redisom_lite.plan.prepared import Prepared, prepare
from redisom_lite.scanning import MOST, Scan
from redisom_lite.schema.lifetime import Lifetime
from redisom_lite.schema.model_schema import FieldSpec, ModelSchema
from redisom_lite.schema.mutations import Row
from redisom_lite.schema.record import Record, State, state_of
from redisom_lite.site import Site

V = TypeVar("V")
M = TypeVar("M", bound=Record)
M_co = TypeVar("M_co", bound=Record, covariant=True)

_Read: TypeAlias = tuple[bytes, Row]
"""The key of a record, and the row to make it of."""

BATCH: Final = 500


class Source(Protocol[M_co]):
    """What a query reads from: a manager, whose lifetimes the records follow."""

    @property
    def model(self) -> type[M_co]: ...

    def site(self) -> Site[Any]: ...


class Query(Generic[M]):
    """Records of one model that satisfy conditions, in an order. Await it for the list."""

    __slots__ = ("_ready", "_select", "_source")

    def __init__(self, source: Source[M], selection: Selection) -> None:
        self._source = source
        self._select = selection
        self._ready: Prepared | None = None

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
        schema, where, order, limit, offset = self._select
        for condition in conditions:
            check_condition(schema, condition)
        return Query(self._source, Selection(schema, (*where, *conditions), order, limit, offset))

    def order_by(self, *terms: Term | Column[Any]) -> Query[M]:
        """Order by these terms, the first first; replaces an earlier order.

        A bare column is ascending. `None` sorts last in either direction; ties break by key in the direction of the
        last term.
        """
        schema, where, _, limit, offset = self._select
        order = tuple([_term(schema, term) for term in terms])
        for place, term in enumerate(order, start=1):
            if term.field is schema.key:
                order = order[:place]  # behind a key nothing is left to order
                break
        return Query(self._source, Selection(schema, where, order, limit, offset))

    def limit(self, n: int) -> Query[M]:
        """At most the first `n` records, `n` from 0."""
        schema, where, order, _, offset = self._select
        return Query(self._source, Selection(schema, where, order, _count("limit", n), offset))

    def offset(self, n: int) -> Query[M]:
        """Leave out the first `n` records, `n` from 0. For pages, `page` neither skips nor repeats."""
        return Query(self._source, self._select._replace(offset=_count("offset", n)))

    # Running.

    def __await__(self) -> Generator[Any, None, list[M]]:
        return self.all().__await__()

    async def all(self) -> list[M]:
        """Every record, in order. Records are read whole; one round trip for each budget of server work.

        Redis: one FCALL for what fits a budget; more than 24 records (of a limit up to 100: none) HMGETs besides.
        """
        site = self._site()
        backend = site.store.backend
        records = await backend.reader.made(Reading(site.keyspace, self._prepared()), site.hydrate)
        await backend.tidy()
        return records

    async def first(self) -> M | None:
        """The first record, or None."""
        found = await self._at_most(1).all()
        return found[0] if found else None

    async def one(self) -> M:
        """The only record; `NotFoundError` when there is none, `MultipleFoundError` when there are more."""
        found = await self._at_most(2).all()
        name = self._name
        if not found:
            raise NotFoundError(f"{name}: no record satisfies the query", model=name)
        if len(found) > 1:
            raise MultipleFoundError(
                f"{name}: several records satisfy the query: narrow it, or use first()", model=name
            )
        return found[0]

    async def count(self) -> int:
        """How many records; `limit` and `offset` are respected. Reads no record."""
        site = self._site()
        schema, where, _, limit, offset = self._select
        query = prepare(Selection(schema, where))
        total = await site.store.backend.reader.count(Reading(site.keyspace, query))
        await site.store.backend.tidy()
        total = max(0, total - offset)
        return total if limit is None else min(total, limit)

    async def exists(self) -> bool:
        """Whether there is any record. Reads none."""
        if self._select.offset:
            return bool(await self._at_most(1).pks())
        if self._select.limit == 0:
            return False
        site = self._site()
        query = prepare(Selection(*self._select[:2]))
        found = await site.store.backend.reader.any(Reading(site.keyspace, query))
        await site.store.backend.tidy()
        return found

    async def pks(self) -> list[Any]:
        """The primary keys, in order. Reads no record."""
        site = self._site()
        members = await site.store.backend.reader.members(site.keyspace, self._prepared())
        await site.store.backend.tidy()
        of_member = site.schema.key.codec.of_member
        return [of_member(member) for member in members]

    async def values(self, *fields: str | Column[Any]) -> list[dict[str, Any]]:
        """Dicts of the named fields (all of them when none is named), in order, of real Python types.

        Only those fields are read, and those the order needs.
        """
        schema = self._select.schema
        specs = list(dict.fromkeys(_named(schema, field) for field in fields)) or list(schema.fields)
        site = self._site()
        rows = [row for _, row in await _rows(site, self._prepared(), *specs)]
        return pick(site.model, site.keyspace, specs, rows)

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
        _positive(self._name, "a batch", size)
        left, offset, after = self._select.limit, self._select.offset, None
        hydrate = self._site().hydrate
        while left is None or left > 0:
            asked = size if left is None else min(size, left)
            found = await self._behind(after, asked, offset)
            if not found:
                return
            records = [hydrate(row) for _, row in found]
            after, offset = self._end(found[-1], records[-1]), 0  # before anyone changes the record
            yield records
            if len(found) < asked:
                return
            left = None if left is None else left - asked

    async def page(self, *, size: int = 20, after: str | None = None) -> Page[M]:
        """`size` records behind the cursor `after`, and the cursor of the next page (None: this was the last).

        Raises `QueryError` for a damaged cursor, one of another query, and on a query with a limit or an offset.
        """
        if self._select.limit is not None or self._select.offset:
            raise QueryError(f"{self._name}: a query with limit or offset has no pages: leave them out")
        _positive(self._name, "a page", size)
        query = self._prepared()
        start = None if after is None else open_cursor(query, after)
        found = await self._behind(start, size + 1, 0)
        hydrate = self._site().hydrate
        items = [hydrate(row) for _, row in found[:size]]
        more = len(found) > size
        return Page(items, seal_cursor(query, self._end(found[size - 1], items[-1])) if more else None)

    def scan(self, test: Callable[[M], object], *, most: int = MOST) -> Scan[M]:
        """The records of this query that pass a test in Python, in order: await it for the list, or iterate over it.

        Needs no index, and reads every record of the query: it warns (`ScanWarning`), and raises `QueryError` before it
        reads any when there are more than `most`.
        """
        scanning.warn(self._name)
        return Scan(self._name, self, test, most)

    async def explain(self, *, analyze: bool = False) -> Plan:
        """How this query runs: `print(await query.explain())`. Asks the server, which decides; reads no record.

        `analyze` runs it too, and adds what that took.
        """
        site = self._site()
        prepared, reader = self._prepared(), site.store.backend.reader
        planned = prepared.planned
        decisions = []
        if not planned.impossible:
            decisions = [
                await reader.decide(site.keyspace, prepared, n) for n in range(len(site.keyspace.bases))
            ]
        shown = _shown(planned, decisions, reader.budget.entries)
        if not analyze:
            return shown
        trace, begun = Trace(), time.perf_counter()
        found = await reader.rows(Reading(site.keyspace, prepared, trace=trace))
        examined = sum(head.examined for head in trace.heads)
        took = Actual(trace.calls, examined, len(found), (time.perf_counter() - begun) * 1000)
        return replace(shown, actual=took)

    # Changing.

    async def update(self, **changes: Any) -> int:
        """Write these fields of every record, without loading any; how many records were written.

        Values are validated first, each by the rules of its field. The step that writes a record tests the conditions
        once more. With `limit` or `offset`, exactly those records. Records go in atomic steps of up to 150; an error
        (`UniqueError`) leaves the step it occurs in undone and those before it done.
        """
        return await rewriting.update(self._site(), self._select, changes)

    async def delete(self) -> int:
        """Delete every record, in atomic steps of up to 150, conditions tested once more; how many there were."""
        return await rewriting.delete(self._site(), self._select)

    async def expire(self, ttl: Lifetime) -> int:
        """Let every record end in `ttl` from now; how many there were."""
        return await rewriting.expire(self._site(), self._select, ttl)

    async def add_tags(self, column: MultiTagColumn[V] | str, *tags: V) -> int:
        """Add tags to a `Tag` field of several values of every record; how many records had not all of them.

        Atomic for each record: tags that others add or remove at the same time stay so. Values are validated by the
        field's rules; conditions are tested once more in the writing step. Redis: HMGET and one EVALSHA for up to 100.
        """
        spec = _named(self._select.schema, column)
        return await tagging.retag(self._site(), self._select, spec, tags, tagging.with_tags)

    async def remove_tags(self, column: MultiTagColumn[V] | str, *tags: V) -> int:
        """Remove tags; how many records had any of them. As `add_tags`."""
        spec = _named(self._select.schema, column)
        return await tagging.retag(self._site(), self._select, spec, tags, tagging.without_tags)

    # Aggregates.

    async def min(self, column: str | Column[Any]) -> Any:
        """The least value of a Range or Key column that is not None; None when there is none."""
        spec = _named(self._select.schema, column)
        return await aggregates.extreme_of(self._site(), self._select, spec, greatest=False)

    async def max(self, column: str | Column[Any]) -> Any:
        """The greatest value of a Range or Key column that is not None; None when there is none."""
        spec = _named(self._select.schema, column)
        return await aggregates.extreme_of(self._site(), self._select, spec, greatest=True)

    async def sum(self, column: str | Column[Any]) -> Any:
        """The exact sum of a Range column of numbers or durations, None left out; zero of its type for no values."""
        return await aggregates.sum_of(self._site(), self._select, _named(self._select.schema, column))

    async def facets(self, column: str | Column[Any]) -> dict[Any, int]:
        """How many records have each value of a Tag column, None included, the most frequent first."""
        return await aggregates.facets_of(self._site(), self._select, _named(self._select.schema, column))

    # How.

    @property
    def _name(self) -> str:
        return self._source.model.__name__

    def _site(self) -> Site[M]:
        return self._source.site()

    def _at_most(self, n: int) -> Query[M]:
        limit = self._select.limit
        return self.limit(n if limit is None else min(limit, n))

    def _prepared(self) -> Prepared:
        """Planned once, however often it runs."""
        if self._ready is None:
            self._ready = prepare(self._select)
        return self._ready

    async def _behind(self, after: After | None, limit: int, offset: int) -> list[_Read]:
        return await _rows(self._site(), self._prepared().cut(limit, offset), after=after)

    def _end(self, read: _Read, record: M) -> After:
        """The end of a page whose last record this is."""
        (member, row), state = read, state_of(record)
        return After(member, tuple([_text(spec, row, state) for spec in columns(self._select.order)]))


def _shown(planned: QueryPlan, decisions: Sequence[Decision], budget: int) -> Plan:
    """The plan as decided, sizes added up over partitions."""
    if not decisions:
        return explained(planned, "-", 0, 0, (), budget=budget)
    first = decisions[0]
    sizes = [sum(each) for each in zip(*(decision.sizes for decision in decisions), strict=False)]
    total = sum(decision.total for decision in decisions)
    return explained(planned, first.strategy, first.path - 1, total, sizes, budget=budget)


async def _rows(
    site: Site[Any],
    query: Prepared,
    *specs: FieldSpec,
    after: After | None = None,
) -> list[_Read]:
    names = site.keyspace.names_of((*specs, *columns(query.selection.order))) if specs else None
    reading = Reading(site.keyspace, query, names)
    found = await site.store.backend.reader.rows(reading, after=after)
    await site.store.backend.tidy()
    return found


def _text(spec: FieldSpec, row: Row, state: State | None) -> bytes | None:
    """What a record has its place in the order by: its text, or its default where the record lacks the field."""
    text = row[spec.position] if spec.position < len(row) else None  # no deadline is read of those without
    if text is None and state is not None and spec.position < len(state.row):
        return state.row[spec.position]
    return text


def check_condition(schema: ModelSchema, condition: object) -> None:
    """Refuse what is no condition, and conditions on another model's columns."""
    match condition:
        case And() | Or():
            for item in condition.items:
                check_condition(schema, item)
        case Not():
            check_condition(schema, condition.item)
        case Condition():
            _check_field(schema, condition.field)  # type: ignore[attr-defined]  # every leaf has one
        case bool():
            raise QueryError(
                f"{schema.model}: a condition compares columns, as in {schema.model}.{schema.key.name} == ...: "
                "an unindexed field compares to a plain bool, and cannot be queried"
            )
        case _:
            raise QueryError(f"{schema.model}: {type(condition).__name__} is no condition: compare columns")


def _check_field(schema: ModelSchema, field: FieldSpec) -> None:
    if schema.by_name.get(field.name) is not field:
        raise QueryError(f"{schema.model}: {field.model}.{field.name} is a column of another model")


def _term(schema: ModelSchema, term: object) -> Term:
    ascending: Any = getattr(term, "asc", None)
    found: object = term if ascending is None else ascending()
    if not isinstance(found, Term):
        raise QueryError(
            f"{schema.model}: order by columns or their asc() and desc(), not {type(term).__name__}"
        )
    _check_field(schema, found.field)
    return found


def _named(schema: ModelSchema, field: object) -> FieldSpec:
    if isinstance(field, Column):
        _check_field(schema, field.field)
        return field.field
    spec = schema.by_name.get(field) if isinstance(field, str) else None
    if spec is None:
        what = repr(field) if isinstance(field, str) else f"of type {type(field).__name__}"
        raise QueryError(f"{schema.model} has no field {what}: name one of its columns")
    return spec


def _positive(model: str, what: str, n: object) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise QueryError(f"{model}: {what} has at least 1 record")


def _count(what: str, n: object) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise QueryError(f"{what}() takes a whole number from 0 on")
    return n
