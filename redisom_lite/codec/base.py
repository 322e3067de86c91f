"""What a codec is: the one place where a type decides how its values are stored, indexed and compared.

Saving, indexing and querying all go through the codec of a field, so they cannot disagree. `None` never
reaches a codec: whether a field may be `None` is the business of the field.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any, Final

from pydantic_core import CoreSchema, SchemaValidator, ValidationError

from redisom_lite import keys
from redisom_lite.codec.score import Score

NONE_TOKEN: Final = b"%"
"""The token of `None`; no encoded text is a bare `%`."""

_LONGEST_TOKEN = 256


class Codec(ABC):
    """How the values of one type are written.

    `name` is the type as messages show it. `form` says how its values look in an index: two codecs of one
    form write equal values alike, so renaming an enum, say, leaves its index valid. `core` is a pydantic-core
    schema from the stored text (bytes) to the value; it runs no validator that a user wrote, and leaves
    nothing to the config it is used under but a limit on the length of text.

    `encode` and `decode` every codec has; which of `score`, `lex`, `token` and `member` depends on the type,
    and the others raise TypeError. The functions of `redisom_lite.codec.declared` hand out only codecs that
    can do what they are asked for. Methods that take a value raise TypeError when it is not of the type, and
    ValueError when it is but cannot be written; their messages never contain it.
    """

    __slots__ = ("_validator", "core", "form", "name")

    def __init__(self, name: str, core: CoreSchema, *, form: str = "") -> None:
        self.name = name
        self.form = form or name
        self.core = core
        self._validator = SchemaValidator(core)

    def __repr__(self) -> str:
        return f"<codec of {self.name}>"

    @abstractmethod
    def encode(self, value: Any) -> bytes:
        """The canonical stored text of a value; equal text means equal value."""

    def decode(self, text: bytes) -> Any:
        """The value a stored text stands for; ValueError when the text is none of this type."""
        try:
            return self._validator.validate_python(text)
        except ValidationError:
            raise ValueError(f"the stored text is not of type {self.name}") from None

    def operand(self, value: Any) -> Any:
        """Check strictly what a query compares with: the value itself, fit for `score`, `lex`, `token`,
        `member`.

        No conversion takes place: a bool is no int, a datetime no date, an enum is compared with its members.
        Only an int is accepted where a float or a Decimal is declared. TypeError for another type; ValueError
        for NaN and for text that is not Unicode.
        """
        raise TypeError(f"{self.name} cannot be compared in a query")

    def score(self, value: Any) -> Score:
        """The value as a number of a sorted set, in the order of the values; ValueError for NaN."""
        raise TypeError(f"{self.name} has no order as a number")

    def lex(self, value: Any) -> bytes:
        """The value as raw text (UTF-8), whose byte order is the order of the values."""
        raise TypeError(f"{self.name} has no order as text")

    def token(self, value: Any) -> bytes:
        """The value as part of a key, percent-encoded: equal tokens mean equal values. At most 256 bytes.

        A longer one is replaced by `%~` and a digest, which no encoded text can equal, nor `NONE_TOKEN`.
        """
        raise TypeError(f"{self.name} cannot be a tag")

    def member(self, value: Any) -> bytes:
        """The value as a primary key in its sort form: byte order is the order of the values."""
        raise TypeError(f"{self.name} cannot be a key")

    def of_member(self, member: bytes) -> Any:
        """The inverse of `member`; ValueError for what it does not produce."""
        raise TypeError(f"{self.name} cannot be a key")

    def _refuse(self, value: object) -> TypeError:
        return TypeError(f"expected {self.name}, got {type(value).__name__}")


def utf8(text: str) -> bytes:
    """The text in UTF-8; ValueError, without the text, for a lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("text with a lone surrogate cannot be stored") from None


def key_safe(text: bytes) -> bytes:
    """The token of a text: percent-encoded, or `%~` and its SHA-256 when that is longer than 256 bytes."""
    token = keys.encode(text)
    if len(token) <= _LONGEST_TOKEN:
        return token
    return b"%~" + urlsafe_b64encode(sha256(text).digest()).rstrip(b"=")
