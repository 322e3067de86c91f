"""Tokens that make a repeated write take effect once.

A process has slots, each with one write under way at a time, and numbers its writes. The server keeps the last answer
of each slot, for as long as the process writes and a while longer: a write that comes with the number it has answered
gets that answer again (see once.lua). Nothing is to be acknowledged, and no clocks are compared.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True, slots=True)
class Token:
    """`process` names the calling process, `slot` is free again when the answer has arrived."""

    process: bytes
    slot: int
    sequence: int

    @property
    def name(self) -> bytes:
        """What no other write, of any process, is called."""
        return b"%b-%x" % (self.process, self.sequence)


class Tokens:
    """The tokens of this process."""

    def __init__(self) -> None:
        self._pid = 0
        self._process = b""
        self._free: list[int] = []
        self._slots = count()
        self._sequence = count(1)

    def take(self) -> Token:
        """A token for one write."""
        if self._pid != os.getpid():  # the first time, and in a process forked from one that wrote
            self._pid, self._process, self._free = os.getpid(), os.urandom(6).hex().encode(), []
        try:
            slot = self._free.pop()
        except IndexError:
            slot = next(self._slots)
        return Token(self._process, slot, next(self._sequence))

    def give_back(self, token: Token) -> None:
        """Its answer has arrived. One whose answer never did is not used again: the write may still be on its way."""
        if token.process == self._process:
            self._free.append(token.slot)


TOKENS = Tokens()
