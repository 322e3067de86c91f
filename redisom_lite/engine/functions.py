"""Which scripts a server keeps as functions, as far as a transport knows, and in which form a call is sent.

    FCALL     the first call of a script takes its library along, to every server; a server that took it is called by
              name from then on: the parts of a function are made once, not with every call
    EVALSHA   otherwise: before Redis 7, or where FUNCTION is not allowed
    EVAL      once, when the server does not have the script either

A server loses its functions by FUNCTION FLUSH, or when a replica takes over that had not been told of them, and a new
node of a cluster has none: then a call finds none, runs as a script, and the next one offers the library anew. Nothing
here sends anything.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from redisom_lite.engine.failure import is_transient
from redisom_lite.engine.node import Command
from redisom_lite.engine.scripts import Script
from redisom_lite.errors import BackendError, RedisomError

Head = tuple[bytes, bytes]


class Offer(NamedTuple):
    """A command that gives every server a function, and how the call begins that goes out behind it."""

    command: Command
    head: Head


class Functions:
    """What is known of the functions of the servers of one address; `offers`: whether they are to be offered any."""

    def __init__(self, *, offers: bool) -> None:
        self._offers = offers
        self._offered: set[Script] = set()
        self._kept: dict[Script, Head] = {}

    def head(self, script: Script) -> Head:
        """The words that a call of this script begins with."""
        return self._kept.get(script) or (b"EVALSHA", script.sha)

    def offer(self, script: Script) -> Offer | None:
        """The library to send before this call of a script, if any: one call at a time has something to offer."""
        if script.function is None or not self._offers or script in self._offered:
            return None
        self._offered.add(script)
        return Offer((b"FUNCTION", b"LOAD", script.function.library), (b"FCALL", script.function.name))

    def note(self, script: Script, taken: list[Any] | BaseException) -> None:
        """Take the servers' replies to an offer, or the failure of sending it; one not sent is made once more."""
        if isinstance(taken, BaseException):
            if getattr(taken, "outcome", "none") == "none":
                self._offered.discard(script)
            return
        refusals = [
            reply for reply in taken if isinstance(reply, RedisomError) and _code(reply) != "LIBRARYEXISTS"
        ]
        if not refusals and script.function is not None:
            self._kept[script] = (b"FCALL", script.function.name)
        elif all(is_transient(refusal) for refusal in refusals):
            self._offered.discard(script)

    def refused(self, script: Script, code: str) -> None:
        """Take note of why a function did not begin; one that is not there any more is offered anew."""
        if code == "OOM" or script not in self._kept:
            return
        del self._kept[script]
        if code == "NOFUNCTION":
            self._offered.discard(script)

    def other_form(self, script: Script, command: Command, failed: RedisomError) -> Command | None:
        """The call in the form that this failure leaves, if it is one of the form."""
        form, code = command[0], _code(failed)
        if form == b"EVALSHA" and code == "NOSCRIPT":
            # it loads the script, and no later attempt can miss
            return (b"EVAL", script.text, *command[2:])
        if form != b"FCALL" or code not in NOT_BEGUN:
            return None
        self.refused(script, code)
        return (b"EVALSHA", script.sha, *command[2:])


NOT_BEGUN: Final = ("NOFUNCTION", "NOPERM", "OOM")
"""Why a function may be refused before it begins; a script that is full up or not allowed begins, and may get by."""


def _code(error: RedisomError) -> str:
    return error.code if isinstance(error, BackendError) else ""
