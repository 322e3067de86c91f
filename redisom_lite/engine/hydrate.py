"""Rows become objects: one call into pydantic-core each.

A loaded object remembers the row it came from, so that a save writes only what differs. Where the record lacks a field
(written before the field existed) the default stands in, in the object and in what it remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic_core import ValidationError

from redisom_lite.errors import DecodeError
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.record import Record, State, set_state

R = TypeVar("R", bound=Record)


def hydrating(model: type[R], keyspace: Keyspace, manager: object) -> Callable[[list[bytes | None]], R]:
    """What makes objects of rows; `DecodeError` names the key and the field whose text is none of its type."""
    schema, names = keyspace.schema, keyspace.field_names
    width, versioned, validate = len(names), schema.versioned, schema.hydrator.validate_python

    def hydrate(row: list[bytes | None]) -> R:
        stored = row[:width]
        texts: dict[str, Any] = dict(zip(names, stored))  # noqa: B905  # once for each row: `strict` costs a third
        gaps: Sequence[str] = ()
        if None in stored:
            nulls = (row[width] or b"").split(b",")
            gaps = [name for name, text in texts.items() if text is None and name.encode() not in nulls]
            for name in gaps:
                del texts[name]
        try:
            record: R = validate(texts, by_alias=False, by_name=True)
        except ValidationError as error:
            raise _decode_error(model, keyspace, row, error) from error
        for name in gaps:
            spec, value = schema.by_name[name], record.__dict__[name]
            stored[spec.position] = None if value is None else spec.codec.encode(value)
        set_state(record, State(stored, int(row[width + 1] or 0) if versioned else None, manager))
        return record

    return hydrate


def _decode_error(
    model: type[Record], keyspace: Keyspace, row: list[bytes | None], error: ValidationError
) -> DecodeError:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
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
