"""Some fields of rows become dicts of Python values: one call into pydantic-core for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import CoreConfig, SchemaValidator, ValidationError, core_schema

from redisom_lite.errors import DecodeError
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.model_schema import FieldSpec
from redisom_lite.schema.record import Record

Row = list[bytes | None]


def pick(
    model: type[Record], keyspace: Keyspace, specs: Sequence[FieldSpec], rows: Sequence[Row]
) -> list[dict[str, Any]]:
    """The values of these fields, a dict for each row; a field that a record lacks has its default.

    `DecodeError` names the field whose text is none of its type.
    """
    width = len(keyspace.schema.fields)
    places = [(spec.name, spec.position) for spec in specs]
    texts = [{name: row[place] for name, place in places} for row in rows]
    gaps = [at for at, row in enumerate(texts) if None in row.values()]
    missing = {at: _missing(places, rows[at], width) for at in gaps}
    try:
        picked: list[dict[str, Any]] = _validator(keyspace.schema.model, tuple(specs)).validate_python(texts)
    except ValidationError as error:
        raise _decode_error(keyspace, rows, error) from error
    for at, names in missing.items():
        for name in names:
            picked[at][name] = model.model_fields[name].get_default(
                call_default_factory=True, validated_data={}
            )
    return picked


def _missing(places: Sequence[tuple[str, int]], row: Row, width: int) -> list[str]:
    nulls = (row[width] or b"").split(b",")
    return [name for name, place in places if row[place] is None and name.encode() not in nulls]


@lru_cache(maxsize=256)
def _validator(model: str, specs: tuple[FieldSpec, ...]) -> SchemaValidator:
    fields = {
        spec.name: core_schema.typed_dict_field(core_schema.nullable_schema(spec.codec.core))
        for spec in specs
    }
    config = CoreConfig(title=model, hide_input_in_errors=True)
    return SchemaValidator(core_schema.list_schema(core_schema.typed_dict_schema(fields)), config)


def _decode_error(keyspace: Keyspace, rows: Sequence[Row], error: ValidationError) -> DecodeError:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    at, field = first["loc"][0], str(first["loc"][1])
    key = keyspace.schema.key
    text = rows[int(at)][key.position] or b""
    try:
        record_key = keyspace.record_key(key.codec.member(key.codec.decode(text)))
    except ValueError:
        record_key = keyspace.bases[0] + b":r:"
    return DecodeError(
        f"{keyspace.schema.model}.{field}: the stored text does not fit its type ({first['type']}): "
        "repair the record, or change the declaration",
        key=record_key.decode(),
        field=field,
    )
