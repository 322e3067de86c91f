"""In which form a borrowed connection can run a script inside MULTI, where a miss cannot be made good.

EXEC uses the watches up whatever comes of it. So the round trip of the first read asks what the server has; if that is
gone by the time of EXEC, nothing has been written, for the script is all there is between MULTI and EXEC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redisom_lite.engine.functions import Head
from redisom_lite.engine.node import Command
from redisom_lite.engine.scripts import Script
from redisom_lite.engine.transport import Transport
from redisom_lite.errors import BackendError, RedisomError


class Forms:
    """The forms of one script on one connection; `head` is how a call of it would begin elsewhere."""

    def __init__(self, transport: Transport, script: Script, head: Head) -> None:
        self._transport = transport
        self._script = script
        self._function = head if head[0] == b"FCALL" else None
        self._text: Head = b"EVAL", script.text
        self.questions: list[Command] = [(b"SCRIPT", b"EXISTS", script.sha)]
        if self._function is not None:
            self.questions.append((b"FUNCTION", b"LIST", b"LIBRARYNAME", self._function[1]))

    def learn(self, replies: Sequence[Any]) -> None:
        """Take the replies to the questions; where asking is denied, the server has neither form."""
        if replies[0] == [1]:
            self._text = b"EVALSHA", self._script.sha
        if self._function is not None and (isinstance(replies[1], RedisomError) or not replies[1]):
            self._function = None
            self._transport.refused(self._script, "NOFUNCTION")

    @property
    def head(self) -> Head:
        """How to run it."""
        return self._text if self._function is None else self._function

    def failed(self, reply: Any) -> bool:
        """Whether a reply says that the form is not to be had after all: nothing was written, the next is another."""
        code = reply.code if isinstance(reply, BackendError) else ""
        if self._function is None:
            return code == "NOSCRIPT"
        if code in ("NOFUNCTION", "NOPERM"):
            self._transport.refused(self._script, code)
        return code in ("NOFUNCTION", "NOPERM", "NOSCRIPT")
