"""Changing, deleting and ending the records a query selects, by key, without loading them.

Keys are found in runs of bounded size; each run is changed in one atomic step, which tests the conditions once more on
every record. Without limit and offset, each record that satisfied the conditions throughout is changed exactly once,
also when the change moves it along the index that is walked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from pydantic import ValidationError
from pydantic_core import CoreConfig, CoreSchema, ErrorDetails, InitErrorDetails, SchemaValidator, core_schema

from redisom_lite.engine.reading import Reading
from redisom_lite.errors import QueryError
from redisom_lite.plan.planner import Selection, guard
from redisom_lite.plan.prepared import prepare
from redisom_lite.saving import key_changed
from redisom_lite.schema import lifetime as lifetimes, mutations
from redisom_lite.schema.lifetime import Lifetime
from redisom_lite.schema.mutations import Mutation
from redisom_lite.schema.record import Record
from redisom_lite.site import Site

_WORDS: Final = 4000

Change = Callable[[bytes], Mutation]


async def update(site: Site[Any], selection: Selection, changes: Mapping[str, Any]) -> int:
    """See `Query.update`."""
    schema, values = site.schema, _validated(site, changes)
    specs = [schema.by_name[name] for name in changes]
    every = dict.fromkeys(schema.by_name) | values
    row = mutations.encode_row(schema, every)
    condition, lifetime = guard(selection.where), site.lifetime(None)
    template = mutations.change(schema, b"", specs, every, row, lifetime=lifetime, guard=condition)
    return await _apply(site, selection, lambda member: replace(template, member=member))


async def delete(site: Site[Any], selection: Selection) -> int:
    """See `Query.delete`."""
    condition = guard(selection.where)
    return await _apply(site, selection, lambda member: mutations.remove(member, guard=condition))


async def expire(site: Site[Any], selection: Selection, ttl: Lifetime) -> int:
    """See `Query.expire`."""
    condition = guard(selection.where)
    lifetime = lifetimes.exactly(lifetimes.milliseconds(ttl, f"{site.name}: a lifetime"))
    return await _apply(site, selection, lambda member: mutations.live(member, lifetime, guard=condition))


async def _apply(site: Site[Any], selection: Selection, change: Change) -> int:
    changed = 0
    words = max(1, len(change(b"").args))
    step = max(1, min(site.schema.step, _WORDS // words))
    async for run in runs(site, selection):
        for first in range(0, len(run), step):
            part = [(site.keyspace, change(member)) for member in run[first : first + step]]
            applied = await site.store.backend.writer.apply(part)
            changed += sum(result > 0 for result in applied.results)
    await site.store.backend.tidy()
    return changed


async def runs(site: Site[Any], selection: Selection) -> AsyncGenerator[list[bytes]]:
    """The keys to change, each once, those of a run in one partition."""
    reader, prepared = site.store.backend.reader, prepare(selection)
    if selection.limit is not None or selection.offset:
        members = await reader.members(site.keyspace, prepared)
        groups: dict[int, list[bytes]] = {}
        for member in members:
            groups.setdefault(site.keyspace.partition(member), []).append(member)
        for group in groups.values():
            yield group
        return
    done = set[bytes]()
    async for members in reader.runs(Reading(site.keyspace, prepared)):
        fresh = [member for member in dict.fromkeys(members) if member not in done]
        done.update(fresh)
        yield fresh


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
