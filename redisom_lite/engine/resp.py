"""The wire format, by hiredis: commands into bytes, bytes into replies.

Error replies come out as errors of the library, wherever in a reply they stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from redisom_lite.engine.failure import from_reply

INCOMPLETE: Final = object()
"""What a reader's `gets` returns while the next reply is not there as a whole."""

# hiredis types its argument as a tuple of one.
pack: Final = cast("Callable[[tuple[bytes | str | int, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
"""One command as bytes. A word of another type is a TypeError."""


def reader() -> Any:
    """Make a parser: `feed(buffer, offset, length)`, then `gets()` until INCOMPLETE.

    Raises `hiredis.ProtocolError` on what is no RESP.
    """
    return hiredis.Reader(replyError=_refusal, notEnoughData=INCOMPLETE, errors="replace")


def _refusal(text: str) -> Exception:
    return from_reply(text, hiredis.ReplyError(text))
