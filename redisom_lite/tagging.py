"""Adding tags to the records a query selects, and removing them: each record in one atomic step.

What a record has is read, and written with the tags added or removed on the condition that it still has exactly that;
one that was changed meanwhile is read again. So a tag that another writer adds or removes at the same time is not lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic_core import SchemaValidator

from redisom_lite.engine.picking import pick
from redisom_lite.errors import QueryError
from redisom_lite.plan.planner import Selection
from redisom_lite.rewriting import Guard, checked, refuse_frozen, runs, validator
from redisom_lite.schema import mutations
from redisom_lite.schema.model_schema import FieldSpec
from redisom_lite.schema.mutations import Mutation
from redisom_lite.site import Site

Change = Callable[[list[Any], Sequence[Any]], list[Any]]
"""From the tags a record has and those of the call to those it will have."""


def with_tags(had: list[Any], tags: Sequence[Any]) -> list[Any]:
    """Those it had, then those it had not."""
    return [*had, *(tag for tag in dict.fromkeys(tags) if tag not in had)]


def without_tags(had: list[Any], tags: Sequence[Any]) -> list[Any]:
    """Those it had but for these."""
    return [tag for tag in had if tag not in tags]


async def retag(
    site: Site[Any], selection: Selection, spec: FieldSpec, tags: Sequence[Any], change: Change
) -> int:
    """See `Query.add_tags` and `Query.remove_tags`."""
    retagging = _Retagging(site, spec, _checked_tags(spec, tags), change)
    changed = 0
    async for run in runs(site, selection):
        left = run.members
        for guard in run.guards:
            members, left = left, list[bytes]()
            async for part in site.steps(members):
                done, refused = await retagging.step(part, guard)
                changed += done
                left += refused
    await site.store.backend.tidy()
    return changed


def _checked_tags(spec: FieldSpec, tags: Iterable[Any]) -> list[Any]:
    if spec.member is None:
        raise QueryError(f"{spec!r} does not hold several tags: declare it Tag[set[...]], or update() it")
    try:
        return [spec.member.operand(tag) for tag in tags]
    except (TypeError, ValueError) as error:
        raise QueryError(f"{spec!r} cannot hold such a tag: {error}") from error


class _Retagging:
    def __init__(self, site: Site[Any], spec: FieldSpec, tags: list[Any], change: Change) -> None:
        self._site, self._spec, self._tags, self._change = site, spec, tags, change
        refuse_frozen(site.model, (spec.name,))
        self._validator: SchemaValidator = validator(site.model, (spec.name,))

    async def step(self, members: list[bytes], guard: Guard) -> tuple[int, list[bytes]]:
        """Retag the records with these keys; how many were changed, and those that the guard refused."""
        backend, keyspace = self._site.store.backend, self._site.keyspace
        changed, left, refused = 0, members, list[bytes]()
        while left:
            rows = await backend.reader.load(keyspace, left)
            swaps: list[Mutation] = []
            for member, row in zip(left, rows, strict=True):
                swap = self._swap(member, row, mutations.SAME if swaps else guard.program(left))
                if swap is not None:
                    swaps.append(swap)
            applied = await backend.writer.apply([(keyspace, swap) for swap in swaps]) if swaps else None
            results: Sequence[int] = applied.results if applied else ()
            changed += sum(result > 0 for result in results)
            left = [swap.member for swap, result in zip(swaps, results, strict=True) if result < 0]
            refused += [swap.member for swap, result in zip(swaps, results, strict=True) if result == 0]
        return changed, refused

    def _swap(self, member: bytes, row: list[bytes | None] | None, guard: Sequence[bytes]) -> Mutation | None:
        """What is to be written over a row; None when there is nothing to change."""
        site, spec = self._site, self._spec
        if row is None:
            return None
        (picked,) = pick(site.model, site.keyspace, [spec], [row])
        had = picked[spec.name]
        wanted = self._change(list(had or ()), self._tags)
        if wanted == list(had or ()):
            return None
        every = dict.fromkeys(site.schema.by_name) | checked(site, self._validator, {spec.name: wanted})
        written = mutations.change(
            site.schema, member, [spec], every, lifetime=site.lifetime(None), guard=guard
        )
        return mutations.swap(spec, row[spec.position], written)
