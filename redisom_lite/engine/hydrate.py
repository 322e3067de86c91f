"""Rows become objects: one call into pydantic-core each.

A loaded object remembers the row it came from, so that a save writes only what differs. Where the record lacks a field
(written before the field existed) the default stands in, in the object and in what it remembers.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from pydantic_core import ValidationError

from redisom_lite.errors import DecodeError
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.record import Record, State, set_state

R = TypeVar("R", bound=Record)


def hydrate(model: type[R], keyspace: Keyspace, row: list[bytes | None], manager: object) -> R:
    """The object a row stands for; `DecodeError` names the key and the field whose text is none of its type."""
    fields = keyspace.schema.fields
    width = len(fields)
    stored = row[:width]
    texts: dict[str, Any] = dict(zip(keyspace.field_names, stored, strict=True))
    gaps = None in stored
    if gaps:
        nulls = (row[width] or b"").split(b",")
        texts = {name: text for name, text in texts.items() if text is not None or name.encode() in nulls}
    try:
        record = cast(R, keyspace.schema.hydrator.validate_python(texts, by_alias=False, by_name=True))
    except ValidationError as error:
        raise _decode_error(model, keyspace, row, error) from error
    if gaps and len(texts) < width:
        values = record.__dict__
        for spec in fields:
            if spec.name not in texts:
                value = values[spec.name]
                stored[spec.position] = None if value is None else spec.codec.encode(value)
    version = int(row[width + 1] or 0) if keyspace.schema.versioned else None
    set_state(record, State(stored, version, manager))
    return record


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
