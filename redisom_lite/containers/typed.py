"""What structures hold: values of declared types, checked by pydantic on the way in and read back as they were.

The stored text is that of the mapper's codecs: readable for single values, JSON for the rest; equal text means equal
value, so it serves as a member of a set and as a field of a hash.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import CoreConfig, SchemaError, SchemaValidator

from redisom_lite.codec import built_anew, stored_codec
from redisom_lite.errors import ConstraintError, DeclarationError, DecodeError

T = TypeVar("T")


class Values(Generic[T]):
    """The values of one type.

    Raises `DeclarationError` for a type that pydantic cannot validate and write.
    """

    def __init__(self, annotation: Any) -> None:
        try:
            self.codec = stored_codec(annotation)
            schema = TypeAdapter(annotation).core_schema
            with built_anew(_classes(annotation)):
                self._validator = SchemaValidator(schema, CoreConfig(hide_input_in_errors=True))
        except (TypeError, PydanticUserError, SchemaError) as error:
            raise DeclarationError(
                "a type that cannot be stored and read back: give one that pydantic validates and serializes"
            ) from error

    def encode(self, value: T) -> bytes:
        """The stored text of a value.

        Raises pydantic's ValidationError when it is not of the type, `ConstraintError` when it cannot be written.
        """
        try:
            return self.codec.encode(self._validator.validate_python(value))
        except ValidationError:
            raise
        except (TypeError, ValueError) as error:
            raise ConstraintError(f"a value cannot be stored: {error}") from None

    def decode(self, text: bytes, key: bytes) -> T:
        """The value of a stored text; `DecodeError` when it is none."""
        try:
            value: T = self.codec.decode(text)
        except ValueError as error:
            shown = key.decode("ascii", "replace")
            raise DecodeError(f"{shown} holds something else than {self.codec.name}", key=shown) from error
        return value


def _classes(annotation: Any) -> list[type]:
    return [annotation] if isinstance(annotation, type) else []


@cache
def values_of(annotation: Any) -> Values[Any]:
    """The values of a type, made once."""
    return Values(annotation)
