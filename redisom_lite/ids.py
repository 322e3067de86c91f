"""Sortable unique ids: ULIDs, in order of creation within one process.

An id is 48 bits of milliseconds since 1970 and 80 random bits, written as 26 characters of Crockford's base
32 (https://github.com/ulid/spec), so that the order of the texts is the order of the numbers.
"""

from __future__ import annotations

import os
import threading
import time
from secrets import randbits
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_SHIFTS: Final = range(120, -10, -10)

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """Make a new ULID, greater than every id this process made before, also when the clock goes back.

    Safe to call from many threads, and in a forked child.
    """
    global _last
    with _lock:
        fresh = time.time_ns() // 1_000_000 << 80 | randbits(80)
        number = _last = max(fresh, _last + 1)
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def _forget() -> None:
    """Start anew in a forked child: one more than the last id is what the parent may make as well."""
    global _last, _lock
    _last, _lock = 0, threading.Lock()


if hasattr(os, "register_at_fork"):  # absent on Windows, which has no fork
    os.register_at_fork(after_in_child=_forget)
