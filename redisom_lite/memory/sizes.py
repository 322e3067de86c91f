"""Sizes in bytes, as users write them."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from redisom_lite.errors import ConstraintError

Size: TypeAlias = int | str
"""Bytes, or text such as "512kb", "64mb", "1.5gb" (powers of 1024)."""

_UNITS: Final = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
_TEXT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?b)")


def byte_count(size: object, what: str) -> int:
    """A size in bytes; `ConstraintError` for one that is negative or no size."""
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    found = _TEXT.fullmatch(size.strip().lower()) if isinstance(size, str) else None
    if found is None:
        raise ConstraintError(f'{what} takes bytes from 0 on, or text such as "64mb"')
    return int(float(found[1]) * _UNITS[found[2]])


def readable(count: float) -> str:
    """Bytes for people: `31.4mb`."""
    for unit in ("b", "kb", "mb", "gb"):
        if count < 1024 or unit == "gb":
            return f"{count:.0f}{unit}" if unit == "b" else f"{count:.1f}{unit}"
        count /= 1024
    raise AssertionError("unreachable")
