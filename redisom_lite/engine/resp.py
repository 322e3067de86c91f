"""The wire format, by hiredis: commands into bytes, bytes into replies.

Error replies come out as errors of the library, wherever in a reply they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, cast, final, overload

import hiredis

from redisom_lite.engine.failure import from_reply
from redisom_lite.words import WORD, Words, number, packed

INCOMPLETE: Final = object()
"""What a reader's `gets` returns while the next reply is not there as a whole."""

# hiredis types its argument as a tuple of one.
_pack: Final = cast("Callable[[tuple[bytes | str | int, ...]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


def pack(command: Sequence[bytes | str | int]) -> bytes:
    """One command as bytes. A word of another type is a TypeError."""
    if type(command) is Words:
        return b"*%d\r\n%b" % (command.length, b"".join(command.pieces))
    return _pack(tuple(command))


def evaluation(
    head: tuple[bytes, bytes], keys: Sequence[bytes], args: Sequence[bytes | str | int]
) -> Sequence[bytes | str | int]:
    """The command that runs a script; `head` is EVALSHA and its digest, EVAL and its text, or FCALL and its name."""
    if type(args) is Words:
        named = [WORD % (len(key), key) for key in keys]
        return Words(3 + len(keys) + args.length, [_head(*head), number(len(keys)), *named, *args.pieces])
    return (*head, len(keys), *keys, *args)


@cache
def _head(name: bytes, script: bytes) -> bytes:
    return packed(name, script)


@final
class OnEachKey(Sequence[Sequence[bytes]]):
    """One command on each of several keys, all other words the same: these are packed once, not once for each key."""

    def __init__(self, name: bytes, keys: Sequence[bytes], rest: Sequence[bytes] = ()) -> None:
        self._name, self._keys, self._rest = name, keys, rest

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, at: int) -> Sequence[bytes]: ...
    @overload
    def __getitem__(self, at: slice) -> OnEachKey: ...
    def __getitem__(self, at: int | slice) -> Sequence[bytes] | OnEachKey:
        if isinstance(at, slice):
            return OnEachKey(self._name, self._keys[at], self._rest)
        return (self._name, self._keys[at], *self._rest)

    def packed(self) -> bytes:
        if len(self._keys) == 1:
            return pack((self._name, self._keys[0], *self._rest))
        head = b"*%d\r\n$%d\r\n%b\r\n$" % (2 + len(self._rest), len(self._name), self._name)
        tail = b"\r\n" + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in self._rest])
        return b"".join([b"%b%d\r\n%b%b" % (head, len(key), key, tail) for key in self._keys])


def pack_all(commands: Sequence[Sequence[bytes | str | int]]) -> bytes:
    """Commands, one after the other, as bytes."""
    if type(commands) is OnEachKey:
        return commands.packed()
    return b"".join([pack(command) for command in commands])


def reader() -> Any:
    """Make a parser: `feed(buffer, offset, length)`, then `gets()` until INCOMPLETE.

    Raises `hiredis.ProtocolError` on what is no RESP.
    """
    return hiredis.Reader(replyError=_refusal, notEnoughData=INCOMPLETE, errors="replace")


def _refusal(text: str) -> Exception:
    return from_reply(text, hiredis.ReplyError(text))
