"""Making room: the oldest records go first, by the mapper, in bounded steps, so that every index stays right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from redisom_lite.engine.background import together
from redisom_lite.errors import ConstraintError
from redisom_lite.manager import Manager
from redisom_lite.memory.sizes import byte_count
from redisom_lite.memory.usage import usage
from redisom_lite.plan.expression import Term
from redisom_lite.plan.planner import guard
from redisom_lite.query import Query
from redisom_lite.schema.model_schema import deadline_of
from redisom_lite.schema.mutations import Mutation, remove
from redisom_lite.schema.record import Record
from redisom_lite.site import Site

M = TypeVar("M", bound=Record)

Progress: TypeAlias = Callable[[int, int | None], object]

_CHOSEN: Final = 1000
_STEP: Final = 100
_PASSES: Final = 4


async def trim(what: type[M] | Query[M], *, to: int | str, progress: Progress | None = None) -> int:
    """Remove the oldest records of a model or a query until it is down to `to`; how many were removed.

    `to` is a number of records (int), or a size as text ("20mb"): bytes of those records and of their share of the
    model's indexes, estimated by `usage`. The query's order says which go first, as does `order_by(Event.created)`;
    without one, those whose lifetime ends soonest, then those without a lifetime in the order of their keys (with
    `new_id()` keys, the oldest). Records go in steps of up to 100, ten at once, and each step tests the conditions once
    more; records written meanwhile are not chased. `progress(removed, total)` follows the steps.

    Works on a server that is full: a step that only deletes needs no memory.
    """
    query = _query(what)
    if isinstance(to, str):
        return await _to_bytes(query, byte_count(to, "trim(to=...)"), progress)
    if isinstance(to, bool) or to < 0:
        raise ConstraintError('trim(to=...) takes a number of records from 0 on, or a size such as "20mb"')
    return await _remove(query, await query.count() - to, progress)


async def keep_within(budgets: Mapping[type[Record], int | str]) -> dict[type[Record], int]:
    """Trim every model that exceeds its budget (as `trim`'s `to`) down to it; how many records each lost."""
    return {model: await trim(model, to=budget) for model, budget in budgets.items()}


async def _to_bytes(query: Query[Any], limit: int, progress: Progress | None) -> int:
    """Few passes: as records go, the average of those that stay, and hence how many fit, may change."""
    removed = 0
    for _ in range(_PASSES):
        average = (await usage(query.model)).per_record
        excess = await query.count() - int(limit / average) if average else 0
        if excess <= 0:
            break
        removed += await _remove(query, excess, progress)
    return removed


async def _remove(query: Query[Any], excess: int, progress: Progress | None) -> int:
    site, condition = _objects(query.model).site(), guard(query.selection.where)
    removed = 0
    while removed < excess:
        chosen = await _oldest_first(query).limit(min(_CHOSEN, excess - removed)).pks()
        gone = await _delete(site, chosen, condition)
        if not gone:
            break  # none is left, or others were faster
        removed += gone
        if progress is not None:
            progress(removed, excess)
    return removed


async def _delete(site: Site[Any], chosen: Sequence[Any], condition: list[bytes]) -> int:
    """Several steps at once: one at a time would lose the race against several writers."""
    changes: dict[int, list[Mutation]] = {}
    for member in map(site.member_of, chosen):
        changes.setdefault(site.keyspace.partition(member), []).append(remove(member, guard=condition))
    steps = [part[at : at + _STEP] for part in changes.values() for at in range(0, len(part), _STEP)]
    return sum(sum(applied.results) for applied in await together(site.apply(step) for step in steps))


def _query(what: type[M] | Query[M]) -> Query[M]:
    query = what if isinstance(what, Query) else _objects(what).find()
    if query.selection.limit is not None or query.selection.offset:
        raise ConstraintError(f"{query.model.__name__}: trim() limits by itself: leave limit and offset out")
    return query


def _oldest_first(query: Query[Any]) -> Query[Any]:
    """The query in its own order; one without in that of deadlines, records that have none last and by key."""
    if query.selection.order:
        return query
    by_deadline = (Term(deadline_of(query.selection.schema)),)
    return Query(_objects(query.model), query.selection._replace(order=by_deadline))


def _objects(model: type[M]) -> Manager[M]:
    found: Manager[M] = getattr(model, "objects")  # noqa: B009 - every model's, declared by its metaclass
    return found
