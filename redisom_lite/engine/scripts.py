"""The library's Lua scripts: one file each, read once as package data.

A script is known by its name; its SHA is what `EVALSHA` sends. A line `--@include other.lua` stands for that file's
text. Nothing here knows what a script does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

_INCLUDE: Final = re.compile(rb"^--@include (\w+)\.lua$", re.MULTILINE)
_COMMENT: Final = re.compile(rb"^ *--[^\n]*\n|^\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: its text, and the digest the server caches it under (40 hex digits)."""

    name: str
    text: bytes
    sha: bytes


def from_text(name: str, text: bytes) -> Script:
    """Make a script of `text`."""
    return Script(name, text, sha1(text, usedforsecurity=False).hexdigest().encode())


@cache
def load(name: str) -> Script:
    """Read `lua/<name>.lua` with what it includes; whole-line comments stay behind."""
    return from_text(name, _COMMENT.sub(b"", _read(name)))


def _read(name: str) -> bytes:
    text = files("redisom_lite.engine").joinpath("lua", f"{name}.lua").read_bytes()
    return _INCLUDE.sub(lambda found: _read(found[1].decode()), text)
