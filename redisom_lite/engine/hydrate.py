"""Rows become objects: one call into pydantic-core each.

A loaded object remembers the row it came from, so that a save writes only what differs. Where the record lacks a field
(written before the field existed) the default stands in, in the object and in what it remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic_core import ArgsKwargs, ValidationError

from redisom_lite.errors import DecodeError
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import ModelSchema
from redisom_lite.schema.record import Record, State, set_state

R = TypeVar("R", bound=Record)


def hydrating(model: type[R], keyspace: Keyspace, manager: object) -> Callable[[list[bytes | None]], R]:
    """What makes objects of rows; `DecodeError` names the key and the field whose text is none of its type."""
    schema, names = keyspace.schema, keyspace.field_names
    width, versioned, whole = len(names), schema.versioned, schema.row_hydrator.validate_python

    def hydrate(row: list[bytes | None]) -> R:
        stored = row[:width]
        gaps = () if all(stored) else _gaps(names, row)  # to look for None takes twice as long
        try:
            record: R = (
                _with_defaults(schema, names, stored, gaps) if gaps else whole(ArgsKwargs(tuple(stored)))
            )
        except ValidationError as error:
            raise _decode_error(model, keyspace, row, error) from error
        set_state(record, State(stored, int(row[width + 1] or 0) if versioned else None, manager))
        return record

    return hydrate


def _gaps(names: Sequence[str], row: Sequence[bytes | None]) -> list[str]:
    """The fields that a record lacks; the text behind theirs names those whose value is None."""
    nulls = (row[len(names)] or b"").split(b",")
    texts = zip(names, row, strict=False)
    return [name for name, text in texts if text is None and name.encode() not in nulls]


def _with_defaults(
    schema: ModelSchema, names: Sequence[str], stored: list[bytes | None], gaps: Sequence[str]
) -> Any:
    """An instance with defaults in the gaps, of which the texts are filled in."""
    texts = dict(zip(names, stored, strict=True))
    for name in gaps:
        del texts[name]
    record = schema.hydrator.validate_python(texts, by_alias=False, by_name=True)
    for name in gaps:
        spec, value = schema.by_name[name], record.__dict__[name]
        stored[spec.position] = None if value is None else spec.codec.encode(value)
    return record


def _decode_error(
    model: type[Record], keyspace: Keyspace, row: list[bytes | None], error: ValidationError
) -> DecodeError:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = first["loc"][0] if first["loc"] else ""
    field = keyspace.schema.fields[place].name if isinstance(place, int) else place
    key = keyspace.schema.key
    pk = row[key.position] or b""
    try:
        record_key = keyspace.record_key(key.codec.member(key.codec.decode(pk)))
    except ValueError:
        record_key = keyspace.bases[0] + b":r:"
    return DecodeError(
        f"{model.__name__}.{field}: the stored text does not fit its type ({first['type']}): "
        "repair the record, or change the declaration",
        key=record_key.decode(),
        field=field,
    )
