"""Pages and their cursors.

A cursor says which query it is of and what its last record was: the model, the order and the conditions as a digest,
the stored texts of the order's columns, the key. It is URL-safe text, checked by a digest over all of it: a damaged
one, or one of another query, is refused.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Generic, TypeVar

from redisom_lite.errors import QueryError
from redisom_lite.plan.ordering import After, columns, text_key
from redisom_lite.plan.prepared import Prepared

M = TypeVar("M")

_VERSION: Final = b"1"
_CHECK: Final = 8
_KEY: Final = b"redisom_lite cursor"


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """`items`, and the cursor `next` for the page behind them, or None when there is none."""

    items: list[M]
    next: str | None


def seal_cursor(query: Prepared, after: After) -> str:
    """The cursor behind a record."""
    parts = [after.member, *(b"-" if text is None else b"+" + text for text in after.texts)]
    body = _VERSION + query.signature + b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return urlsafe_b64encode(_check(body) + body).rstrip(b"=").decode()


def open_cursor(query: Prepared, cursor: str) -> After:
    """The end of the page a cursor stands for; `QueryError` when it is damaged or of another query."""
    model = query.selection.schema.model
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        body = raw[_CHECK:]
        signed = _VERSION + query.signature
        if cursor.encode() != urlsafe_b64encode(raw).rstrip(b"=") or raw[:_CHECK] != _check(body):
            raise ValueError
        if not body.startswith(signed):
            raise QueryError(f"{model}: this cursor belongs to another query: start without one")
        member, *texts = _parts(body[len(signed) :])
        after = After(member, tuple(None if text[:1] == b"-" else text[1:] for text in texts))
        for spec, text in zip(columns(query.selection.order), after.texts, strict=True):
            text_key(spec, text)
    except (ValueError, AttributeError):
        raise QueryError(f"{model}: this cursor is damaged: start without one") from None
    return after


def _parts(text: bytes) -> list[bytes]:
    parts: list[bytes] = []
    while text:
        size, _, text = text.partition(b":")
        parts.append(text[: int(size)])
        text = text[int(size) :]
    if not parts:
        raise ValueError
    return parts


def _check(body: bytes) -> bytes:
    return blake2b(body, digest_size=_CHECK, key=_KEY).digest()
