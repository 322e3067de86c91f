"""The codec of types with a fixed list of values, `Enum` and `Literal`: a table from text to value.

A value is written as its own type writes it (an enum member by its value): `red`, `3`, `1` for `True`. Where
two values would share a text (`Literal[1, "1"]`) all are written as JSON, and where that fails too by
name (`RED`) or repr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

from pydantic_core import core_schema, to_json

from redisom_lite.codec.base import Codec, key_safe
from redisom_lite.codec.score import Score, score_of


class ChoiceCodec(Codec):
    """One of `values`, told apart by type and value (`1`, `True` and `"1"` are three).

    `shared` names two values whose plain texts are equal, so that they cannot both be tags; else `None`.
    """

    __slots__ = ("_texts", "_values", "shared")

    def __init__(self, name: str, values: Iterable[Any], plain: Callable[[Any], bytes]) -> None:
        choices = tuple(values)
        self.shared = _shared(choices, plain)
        self._values: Mapping[bytes, Any] = _table(choices, plain)
        self._texts: Mapping[tuple[type, Any], bytes] = {
            (type(value), value): text for text, value in self._values.items()
        }
        super().__init__(name, core_schema.no_info_plain_validator_function(self._find), form="choice")

    def _find(self, text: bytes) -> Any:
        try:
            return self._values[text]
        except KeyError:
            raise ValueError("not one of the values") from None

    def encode(self, value: Any) -> bytes:
        try:
            return self._texts[type(value), value]
        except (KeyError, TypeError):
            raise self._refuse(value) from None

    def operand(self, value: Any) -> Any:
        self.encode(value)
        return value

    def token(self, value: Any) -> bytes:
        return key_safe(self.encode(value))

    def score(self, value: Any) -> Score:
        self.encode(value)
        if not isinstance(value, int):
            raise TypeError(f"{self.name} has no order as a number")
        return score_of(int(value))


def _table(choices: tuple[Any, ...], plain: Callable[[Any], bytes]) -> dict[bytes, Any]:
    for write in (plain, _as_json, _as_name):
        try:
            table = {write(choice): choice for choice in choices}
        except ValueError:
            continue
        if len(table) == len(choices):
            return table
    raise TypeError("two of its values cannot be told apart by value or name")


def _shared(choices: tuple[Any, ...], plain: Callable[[Any], bytes]) -> str | None:
    seen: dict[bytes, Any] = {}
    for choice in choices:
        try:
            text = plain(choice)
        except ValueError:
            return None
        if text in seen:
            return f"{seen[text]!r} and {choice!r}"
        seen[text] = choice
    return None


def _as_json(choice: Any) -> bytes:
    return to_json(choice.value if isinstance(choice, Enum) else choice)


def _as_name(choice: Any) -> bytes:
    return (choice.name if isinstance(choice, Enum) else repr(choice)).encode()
