"""The library's Lua scripts: one file each, read once as package data.

A script is known by its name; its SHA is what `EVALSHA` sends. A line `--@include other.lua` stands for that file's
text. Nothing here knows what a script does.

A script that says `--@function` declares `main(keys, args)`, and a server from Redis 7 on can keep it as a function:
its parts are then made once, not with every call. Other servers, and transactions, run the same text as a script.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

_INCLUDE: Final = re.compile(rb"^--@include (\w+)\.lua$", re.MULTILINE)
_FUNCTION: Final = re.compile(rb"^--@function(?: (no-writes))?$", re.MULTILINE)
_COMMENT: Final = re.compile(rb"^ *--[^\n]*\n|^\n", re.MULTILINE)

# Functions outlive the call: the library's parts are made by its first, as a library being loaded sees no `string`.
_MADE: Final = b"local function make()\n%bend\n"
_CALLED_ONCE: Final = b"return make()(KEYS, ARGV)\n"
_REGISTERED: Final = b"""local main
redis.register_function{function_name='%b', flags={%b}, callback=function(keys, args)
  main = main or make()
  return main(keys, args)
end}
"""


@dataclass(frozen=True, slots=True)
class Function:
    """A script as a server keeps it: the name it is called by, and the library that `FUNCTION LOAD` takes.

    The name carries the digest of the text, so that releases with different texts live side by side.
    """

    name: bytes
    library: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A Lua script: its text, and the digest the server caches it under (40 hex digits)."""

    name: str
    text: bytes
    sha: bytes
    function: Function | None = None


def from_text(name: str, text: bytes) -> Script:
    """Make a script of `text`; whole-line comments stay behind."""
    kind, text = _FUNCTION.search(text), _COMMENT.sub(b"", text)
    if kind is None:
        return Script(name, text, _sha(text))
    made = _MADE % (text + b"return main\n")
    called = b"redisom_lite_%b_%b" % (name.encode(), _sha(made)[:12])
    flags = b"'%b'" % kind[1] if kind[1] else b""
    library = b"#!lua name=%b\n" % called + made + _REGISTERED % (called, flags)
    once = made + _CALLED_ONCE
    return Script(name, once, _sha(once), Function(called, library))


@cache
def load(name: str) -> Script:
    """Read `lua/<name>.lua` with what it includes."""
    return from_text(name, _read(name))


def _sha(text: bytes) -> bytes:
    return sha1(text, usedforsecurity=False).hexdigest().encode()


def _read(name: str) -> bytes:
    text = files("redisom_lite.engine").joinpath("lua", f"{name}.lua").read_bytes()
    return _INCLUDE.sub(lambda found: _read(found[1].decode()), text)
