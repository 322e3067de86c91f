"""Lifetimes: what users may write for one, in whole milliseconds, and as apply.lua reads it.

Durations are `timedelta`, seconds (int or float), or text such as `"30m"`, `"7d"`, `"1h30m"`, `"250ms"`; always more
than zero and at most 1,000 years. Fractions of a millisecond are rounded up, so that no lifetime becomes zero.
"""

from __future__ import annotations

import re
from datetime import timedelta
from math import ceil, isfinite
from typing import Final, TypeAlias

from redisom_lite.errors import ConstraintError

Lifetime: TypeAlias = timedelta | float | str

_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_TEXT: Final = re.compile(rf"(?:{_PART.pattern})+")
_LONGEST: Final = 1000 * 366 * 86_400_000
_CURE: Final = 'give a timedelta, seconds, or text such as "30m" or "7d"'

KEEP: Final = b""
"""Leave the lifetime as it is."""
FOREVER: Final = b"-"
"""Take the lifetime away."""


def milliseconds(lifetime: Lifetime, what: str = "a lifetime") -> int:
    """The length of a lifetime in ms; `ConstraintError` for one that is not positive, too long, or no lifetime."""
    ms = _milliseconds(lifetime)
    if ms is None:
        raise ConstraintError(f"{what} of type {type(lifetime).__name__} cannot be read: {_CURE}")
    if ms <= 0:
        raise ConstraintError(f"{what} must be more than zero: to remove a record, delete it")
    if ms > _LONGEST:
        raise ConstraintError(
            f"{what} is longer than 1,000 years: leave it out, and the record stays for good"
        )
    return ms


def _milliseconds(lifetime: object) -> int | None:
    match lifetime:
        case bool():
            return None
        case timedelta():
            return -((-lifetime) // timedelta(milliseconds=1))
        case int() | float():
            return ceil(round(lifetime * 1000, 6)) if isfinite(lifetime) and abs(lifetime) < 1e15 else None
        case str() if _TEXT.fullmatch(lifetime.strip()):
            return ceil(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(lifetime)))
        case _:
            return None


def exactly(ms: int) -> bytes:
    """`ms` from now."""
    return b"=%d" % ms


def at_first(ms: int) -> bytes:
    """`ms` from now if the record is new; else it keeps what it has."""
    return b"?%d" % ms


def longer(ms: int) -> bytes:
    """`ms` more than it has; one without a deadline stays without."""
    return b"+%d" % ms
