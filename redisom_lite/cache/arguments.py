"""Keys from the arguments of a call: by a template, or by a digest that is the same in every process.

A template names arguments, `"search:{text}:{page}"`, with attributes, items and formats as in `str.format`. What stands
for a value has the template's own punctuation percent-encoded, so two calls share a key only if their texts are equal
(`1` and `"1"`); `None` is a `%` of its own.

Without a template, the key is the function's name and a SHA-256 of its arguments, defaults filled in. It tells apart
`1`, `1.0`, `True` and `"1"`, and knows no order in sets and dicts. What has no form of its own that is the same
everywhere (a plain object, a function) is refused.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Set as AbstractSet
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from pathlib import PurePath
from string import Formatter
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, SecretBytes, SecretStr

from redisom_lite.errors import DeclarationError

_FORMATTER: Final = Formatter()
_TEXTS: Final = (str, int, float, Decimal, UUID, date, time, PurePath)
_NONE: Final = "%"  # no encoded text is a bare %
_CURE: Final = 'name what tells calls apart in a template, as in key="search:{text}:{page}"'


class Arguments:
    """The arguments of one function, by name."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = f"{function.__module__}.{function.__qualname__}"
        self._signature = inspect.signature(function)
        self._parameters = tuple(self._signature.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        return self._parameters

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Every argument of a call by its name, defaults filled in; Python's own TypeError for a call that fits not."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def digest(self, arguments: Mapping[str, Any]) -> str:
        """The function's name, and the digest of these arguments."""
        parts: list[bytes] = []
        for position, (name, value) in enumerate(arguments.items()):
            if position == 0 and name in ("self", "cls") and _is_bare(value):
                continue
            try:
                parts.append(_sized(name.encode()) + _form(value))
            except TypeError as error:
                raise DeclarationError(f"{self.name}: the argument {name} {error}: {_CURE}") from None
        return f"{self.name}:{sha256(b''.join(parts)).hexdigest()[:40]}"


def _is_bare(value: object) -> bool:
    """Whether an object has nothing that could tell it from another of its class."""
    return not getattr(value, "__dict__", True) and not getattr(type(value), "__slots__", ())


def _sized(text: bytes) -> bytes:
    return b"%d:%b" % (len(text), text)


def _tagged(kind: str, *parts: bytes) -> bytes:
    return b"%b(%b)" % (kind.encode(), b"".join(map(_sized, parts)))


def _form(value: Any) -> bytes:
    """A value as bytes, the same everywhere; TypeError for one that has no such form."""
    match value:
        case None | bool():
            return _tagged(repr(value))
        case Enum():
            return _tagged("enum", _class_name(value), value.name.encode())
        case int() | float() | Decimal() | str() | UUID() | PurePath():
            text = str(value) if isinstance(value, str) else repr(_plain(value))
            return _tagged(_plain_type(value).__name__, text.encode("utf-8", "surrogatepass"))
        case bytes() | bytearray():
            return _tagged("bytes", bytes(value))
        case datetime() | time():
            return _tagged(_plain_type(value).__name__, value.isoformat().encode(), _zone(value.tzinfo))
        case date() | timedelta():
            return _tagged(_plain_type(value).__name__, repr(_plain(value)).encode())
        case SecretStr() | SecretBytes():
            return _tagged("secret", _form(value.get_secret_value()))
        case BaseModel():
            fields = {name: getattr(value, name) for name in type(value).model_fields}
            return _tagged("model", _class_name(value), _pairs({**fields, **(value.model_extra or {})}))
        case type():
            return _tagged("class", f"{value.__module__}.{value.__qualname__}".encode())
        case _ if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return _tagged("dataclass", _class_name(value), _pairs(fields))
        case _:
            return _collection(value)


def _collection(value: Any) -> bytes:
    parts: Any = value
    match value:
        case Mapping():
            return _tagged("mapping", _pairs(parts))
        case AbstractSet():
            return _tagged("set", *sorted(map(_form, parts)))
        case tuple():
            return _tagged("tuple", *map(_form, parts))
        case Sequence():
            return _tagged("list", *map(_form, parts))
        case _:
            raise TypeError(f"of type {type(value).__name__} has no form that is the same in every process")


def _pairs(values: Mapping[Any, Any]) -> bytes:
    return b"".join(sorted(_tagged("", _form(name), _form(value)) for name, value in values.items()))


def _class_name(value: object) -> bytes:
    return f"{type(value).__module__}.{type(value).__qualname__}".encode()


_PLAIN: Final = (int, float, Decimal, UUID, datetime, date, time, timedelta)


def _plain_type(value: object) -> type:
    """The type itself, not a subclass of it that a library may have made."""
    kinds: Iterable[type] = (str, PurePath, *_PLAIN)
    return next((kind for kind in kinds if isinstance(value, kind)), type(value))


def _plain(value: Any) -> Any:
    match value:
        case int():
            return int(value)
        case float():
            return float(value)
        case PurePath():
            return value.as_posix()
        case _:
            return value


def _zone(zone: tzinfo | None) -> bytes:
    return b"" if zone is None else str(zone).encode()


class Template:
    """A key, or a tag, with names of arguments in it.

    Raises `DeclarationError` for a name the function does not have, and where two values would run into each other.
    """

    def __init__(self, text: str, arguments: Arguments, what: str) -> None:
        self._text = text
        self._where = f"{arguments.name}: {what} {text!r}"
        try:
            parts = list(_FORMATTER.parse(text))
        except ValueError as error:
            raise DeclarationError(f"{self._where} is no template: {error}") from None
        self.names = [self._name(field, arguments) for _, field, _, _ in parts if field is not None]
        literals = [literal for literal, _, _, _ in parts]
        between = literals[1 : len(self.names)]
        if not all(any(not char.isalnum() for char in literal) for literal in between):
            raise DeclarationError(
                f"{self._where}: two values run into each other: put a ':' between them, as in \"{{a}}:{{b}}\""
            )
        self._encoded = {char: _percent(char) for char in {"%", *"".join(literals)} if not char.isalnum()}

    def _name(self, field: str, arguments: Arguments) -> str:
        name = _first(field)
        if name not in arguments.names:
            known = ", ".join(arguments.names) or "none"
            raise DeclarationError(
                f"{self._where} names {name or 'nothing'!r}, no argument of the function: it has {known}"
            )
        return name

    def fill(self, arguments: Mapping[str, Any]) -> str:
        """The text for one call; `DeclarationError` for a value that has no text of its own."""
        out: list[str] = []
        for literal, field, spec, conversion in _FORMATTER.parse(self._text):
            out.append(literal)
            if field is not None:
                out.append(self._value(field, spec or "", conversion, arguments))
        return "".join(out)

    def _value(self, field: str, spec: str, conversion: str | None, arguments: Mapping[str, Any]) -> str:
        value, _ = _FORMATTER.get_field(field, (), arguments)
        if value is None:
            return _NONE
        if isinstance(value, Enum):
            value = value.value
        if not isinstance(value, _TEXTS):
            raise DeclarationError(
                f"{self._where}: {field} is of type {type(value).__name__}, which has no text of its own: name a part "
                "of it, as in {user.id}, or leave the key out to use a digest"
            )
        text = format(_FORMATTER.convert_field(value, conversion), spec)
        return "".join(self._encoded.get(char, char) for char in text)


def _first(field: str) -> str:
    for position, char in enumerate(field):
        if char in ".[":
            return field[:position]
    return field


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())
