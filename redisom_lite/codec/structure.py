"""The codec of everything that is not one readable value, such as models, lists, dicts and unions: JSON."""

from __future__ import annotations

from typing import Any, Final

from pydantic import PydanticUserError
from pydantic_core import PydanticSerializationError, SchemaError, ValidationError, core_schema

from redisom_lite.codec.base import Codec
from redisom_lite.codec.schema_nodes import is_dict
from redisom_lite.codec.stored_schema import stored_form

_SEQUENCES: Final = (list, tuple)


class JsonCodec(Codec):
    """A value as JSON under Python names, such that it comes back as it was.

    Where JSON cannot tell two values of the type apart (`Any`, `UUID | str`), `encode` reads back what it
    wrote and raises ValueError for a value that would return as another.
    """

    __slots__ = ("_form",)

    def __init__(self, name: str, annotation: Any) -> None:
        try:
            self._form = stored_form(annotation)
        except (PydanticUserError, SchemaError, ImportError) as error:
            raise TypeError(f"pydantic cannot validate or serialize {name}") from error
        read = self._form.validator.validate_json
        super().__init__(name, core_schema.no_info_plain_validator_function(read))

    def encode(self, value: Any) -> bytes:
        try:
            text = self._form.serializer.to_json(value, round_trip=True, warnings="error")
        except (PydanticSerializationError, ValueError):
            raise ValueError(f"the value cannot be stored as {self.name}") from None
        if not self._form.exact:
            self._check(text, value)
        return text

    def _check(self, text: bytes, value: Any) -> None:
        try:
            same = _alike(self._form.validator.validate_json(text), value)
        except ValidationError:
            same = False
        if not same:
            raise ValueError(
                f"the value would not come back as it is: {self.name} leaves open how to read its JSON, "
                "declare the type more closely"
            )


def _alike(one: Any, other: Any) -> bool:
    """Equal; or of one type and alike in every part, where equality says nothing (NaN, no `__eq__`)."""
    if one == other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one != one and other != other
    if isinstance(one, _SEQUENCES):
        return _all_alike(one, other)
    if is_dict(one):
        return one.keys() == other.keys() and _all_alike(one.values(), (other[key] for key in one))
    return hasattr(one, "__dict__") and _alike(vars(one), vars(other))


def _all_alike(ones: Any, others: Any) -> bool:
    try:
        return all(_alike(one, other) for one, other in zip(ones, others, strict=True))
    except ValueError:
        return False
