"""The codec of everything that is not one readable value, such as models, lists, dicts and unions: JSON."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic_core import PydanticSerializationError, core_schema

from redisom_lite.codec.base import Codec


class JsonCodec(Codec):
    """A value as JSON, under Python names, written and read so that it comes back as it was."""

    __slots__ = ("_adapter",)

    def __init__(self, name: str, annotation: Any) -> None:
        self._adapter = _adapter(annotation)
        super().__init__(name, core_schema.no_info_plain_validator_function(self._read))

    def _read(self, text: bytes) -> Any:
        return self._adapter.validate_json(text, by_alias=False, by_name=True)

    def encode(self, value: Any) -> bytes:
        try:
            return self._adapter.dump_json(value, round_trip=True, by_alias=False, warnings="error")
        except PydanticSerializationError:
            raise ValueError(f"the value cannot be stored as {self.name}") from None


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
    try:
        return TypeAdapter(annotation, config=config)
    except PydanticUserError:  # a type with a config of its own
        return TypeAdapter(annotation)
