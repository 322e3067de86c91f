"""Changing, deleting and ending the records a query selects, by key, without loading them.

Keys are found in runs of bounded size; each run is changed in one atomic step, which tests the conditions once more on
every record. Without limit and offset, each record that satisfied the conditions throughout is changed exactly once,
also when the change moves it along the index that is walked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import ValidationError
from pydantic_core import CoreConfig, CoreSchema, ErrorDetails, InitErrorDetails, SchemaValidator, core_schema

from redisom_lite.engine.reading import Reading
from redisom_lite.errors import QueryError
from redisom_lite.plan.expression import And, Condition
from redisom_lite.plan.planner import Selection, guard_clauses
from redisom_lite.plan.prepared import Prepared, prepare
from redisom_lite.plan.program import program
from redisom_lite.plan.slicing import LONGEST, is_cut, lists_keys, narrowed, slices
from redisom_lite.saving import key_changed
from redisom_lite.schema import lifetime as lifetimes, mutations
from redisom_lite.schema.lifetime import Lifetime
from redisom_lite.schema.mutations import Mutation
from redisom_lite.schema.record import Record
from redisom_lite.site import Site

_WORDS: Final = 1000

Change = Callable[[Sequence[bytes]], Mutation]
"""From a guard's program to what is done to every record, of no record yet."""


async def update(site: Site[Any], selection: Selection, changes: Mapping[str, Any]) -> int:
    """See `Query.update`."""
    schema, values = site.schema, _validated(site, changes)
    specs = [schema.by_name[name] for name in changes]
    every = dict.fromkeys(schema.by_name) | values
    lifetime = site.lifetime(None)
    mutations.encode_row(schema, every)  # raises before anything is looked for

    def change(guard: Sequence[bytes]) -> Mutation:
        return mutations.change(schema, b"", specs, every, lifetime=lifetime, guard=guard)

    return await _apply(site, selection, change)


async def delete(site: Site[Any], selection: Selection) -> int:
    """See `Query.delete`."""
    return await _apply(site, selection, lambda guard: mutations.remove(b"", guard=guard))


async def expire(site: Site[Any], selection: Selection, ttl: Lifetime) -> int:
    """See `Query.expire`."""
    lifetime = lifetimes.exactly(lifetimes.milliseconds(ttl, f"{site.name}: a lifetime"))
    return await _apply(site, selection, lambda guard: mutations.live(b"", lifetime, guard=guard))


async def _apply(site: Site[Any], selection: Selection, change: Change) -> int:
    changed, others = 0, change(mutations.SAME)
    most = max(1, _WORDS // len(others.args))
    async for run in runs(site, selection):
        left = run.members
        for guard in run.guards:
            members, left = left, list[bytes]()
            async for part in site.steps(members, most=most):
                guarded = change(guard.program(part))
                changes = [(site.keyspace, guarded._replace(member=part[0]))]
                changes += [(site.keyspace, others._replace(member=member)) for member in part[1:]]
                applied = await site.store.backend.writer.apply(changes)
                left += [member for member, done in zip(part, applied.results, strict=True) if done <= 0]
            changed += len(members) - len(left)
    await site.store.backend.tidy()
    return changed


class Guard:
    """A selection's conditions, as a write tests them once more."""

    def __init__(self, where: tuple[Condition, ...]) -> None:
        self._clauses = guard_clauses(where)
        self._listing = any(map(lists_keys, self._clauses))
        self._program = () if self._listing else program(And(self._clauses))

    def program(self, members: Sequence[bytes]) -> Sequence[bytes]:
        """For these records: a condition that lists keys lists no others."""
        if not self._listing:
            return self._program
        known = frozenset(members)
        return program(And(tuple([narrowed(clause, known) for clause in self._clauses])))


@dataclass(frozen=True, slots=True)
class Run:
    """Keys of records in one partition, and their guards: one that fails the first is tried with the next.

    The last says all that the query does. Where that lists thousands of values, the first is that of the slice that
    found the records, which a record fails that has changed since, or is gone.
    """

    members: list[bytes]
    guards: tuple[Guard, ...]


async def runs(site: Site[Any], selection: Selection) -> AsyncGenerator[Run]:
    """The keys to change, each once."""
    reader, prepared = site.store.backend.reader, prepare(selection)
    whole = Guard(selection.where)
    cut = is_cut(prepared) and len(whole.program(())) > LONGEST  # a list of keys is in no guard
    if selection.limit is not None or selection.offset:
        members = await reader.members(site.keyspace, prepared)
        parts = [Guard(part.selection.where) for part in slices(prepared)] if cut else []
        groups: dict[int, list[bytes]] = {}
        for member in members:
            groups.setdefault(site.keyspace.partition(member), []).append(member)
        for group in groups.values():
            yield Run(group, (*parts, whole))
        return
    done, guards = set[bytes](), dict[Prepared, Guard]()
    async for query, found in reader.runs(Reading(site.keyspace, prepared)):
        fresh = [member for member in dict.fromkeys(found) if member not in done]
        done.update(fresh)
        if cut and query not in guards:
            guards = {query: Guard(query.selection.where)}
        yield Run(fresh, (guards[query], whole) if cut else (whole,))


def _validated(site: Site[Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a change, validated field by field as on assignment; validators of whole objects do not run."""
    schema = site.schema
    if not changes:
        raise QueryError(f"{site.name}: update() needs a field to change, as in update(field=value)")
    for name in changes:
        if name not in schema.by_name:
            raise QueryError(f"{site.name} has no field {name!r}: name one of its fields")
    if schema.key.name in changes:
        raise key_changed(site)
    refuse_frozen(site.model, changes)
    return checked(site, validator(site.model, changes), changes)


def refuse_frozen(model: type[Record], names: Iterable[str]) -> None:
    """Raise pydantic's error for fields that it would not let be assigned."""
    for name in names:
        kind = "frozen_instance" if model.model_config.get("frozen") else "frozen_field"
        if kind == "frozen_instance" or model.model_fields[name].frozen:
            error = InitErrorDetails(type=kind, loc=(name,), input=None)
            raise ValidationError.from_exception_data(model.__name__, [error], hide_input=True)


def checked(site: Site[Any], by: SchemaValidator, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a change, validated `by` these fields' validator, then by the same check that a save makes."""
    values: dict[str, Any] = by.validate_python(dict(changes), by_name=True, by_alias=False)[0]
    try:
        site.schema.checker.validate_python(values)
    except ValidationError as error:
        wrong = [each for each in error.errors(include_url=False) if each["loc"][0] in values]
        if wrong:
            details = [_detail(each) for each in wrong]
            raise ValidationError.from_exception_data(site.name, details, hide_input=True) from None
    return values


def _detail(error: ErrorDetails) -> InitErrorDetails:
    found = InitErrorDetails(type=error["type"], loc=error["loc"], input=None)
    if "ctx" in error:
        found["ctx"] = error["ctx"]
    return found


def validator(model: type[Record], names: Iterable[str]) -> SchemaValidator:
    """Pydantic's validator of some fields of a model, those that users wrote for them included."""
    definitions: list[CoreSchema] = []
    config: CoreConfig = CoreConfig(title=model.__name__, hide_input_in_errors=True)
    schema: Any = model.__pydantic_core_schema__
    while schema["type"] != "model-fields":
        if schema["type"] == "definitions":
            definitions = schema["definitions"]
        if schema["type"] == "definition-ref":
            reference = schema["schema_ref"]
            schema = next(each for each in definitions if each.get("ref") == reference)
            continue
        if schema["type"] == "model":
            config = cast(CoreConfig, {**schema.get("config", {}), **config})
        schema = schema["schema"]
    chosen = {name: schema["fields"][name] for name in names}
    fields: CoreSchema = core_schema.model_fields_schema(chosen, model_name=model.__name__)
    if definitions:
        fields = core_schema.definitions_schema(fields, definitions)
    return SchemaValidator(fields, config)
