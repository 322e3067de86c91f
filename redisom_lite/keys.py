"""How names and values become the bytes of keys and members: escaping, hash tags, sort forms.

Pure functions over bytes; knows nothing of models, codecs or Redis commands. Every encoding here is injective,
so two different things never share a key, and every order stated here is the byte order Redis sorts by. The
formats are part of the stored data: changing one is a migration.

A key reads, from the left: the hash tag in braces, what separates models of one tag, then the suffix of its
kind.

    {shop:product}:r:42          a record of the model `product` in the namespace `shop`
    {shop:product:3}:i:price     an index of its partition 3
    {shop:orders}/order:r:7      a record of the model `order` in the group `orders`
"""

from __future__ import annotations

import re
from zlib import crc32

_UNSAFE = re.compile(rb"[\x00-\x20%:{}*?\[\]^\\\x7f-\xff]")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


def encode(part: bytes) -> bytes:
    r"""Percent-encode one part of a key: `% : { } * ? [ ] ^ \`, bytes up to 0x20 and from 0x7F, as `%XX`.

    Injective. The result holds no separator, no brace, no glob character and no white space, and is ASCII.
    """
    if _UNSAFE.search(part) is None:
        return part
    return _UNSAFE.sub(_escape, part)


def decode(part: bytes) -> bytes:
    """The inverse of `encode`."""
    if b"%" not in part:
        return part
    return _ESCAPE.sub(_unescape, part)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


def _unescape(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))


def hash_tag(namespace: str, name: str, partition: int | None = None) -> bytes:
    """The hash tag, braces included, of a model's or group's `name`: `{name}`, `{ns:name}`, `{ns:name:3}`.

    An empty `namespace` is no namespace; `name` is not empty. A name of ASCII digits only has its first digit
    percent-encoded, so that model `3` of namespace `a` (`{a:%33}`) is not partition 3 of model `a` (`{a:3}`).
    """
    parts = [encode(namespace.encode())] if namespace else []
    parts.append(_name(name))
    if partition is not None:
        parts.append(b"%d" % partition)
    return b"{" + b":".join(parts) + b"}"


def _name(name: str) -> bytes:
    text = encode(name.encode())
    return b"%%%02X" % text[0] + text[1:] if text.isdigit() else text


def base(namespace: str, prefix: str, group: str | None = None, partition: int | None = None) -> bytes:
    """What every key of a model (of one of its partitions) starts with; the suffix that follows begins with
    `:`.

    Without a group it is the hash tag of `prefix`; with one, the hash tag of `group`, then `/` and the
    encoded prefix. No key of one model is a key of another: the first `}` ends the tag, and within one tag
    the byte after it tells an ungrouped model (`:`, the suffix) from the models of a group (`/`). A `:` in
    both places would make index `k` of an ungrouped `shop` (`{shop}:i:k`) the registry of a grouped prefix
    `i` (`{shop}:i` + `:k`).
    """
    if group is None:
        return hash_tag(namespace, prefix, partition)
    return hash_tag(namespace, group, partition) + b"/" + encode(prefix.encode())


def partition_of(member: bytes, partitions: int) -> int:
    """Which of `partitions` the record with this primary key lives in, from 0: its CRC-32, everywhere."""
    return crc32(member) % partitions


_LENGTHS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LONG = len(_LENGTHS) - 1  # 61 and more digits: `z`, and four digits that say how many
_MIRRORED = {_LENGTHS[n : n + 1]: _LENGTHS[_LONG - n :][:1] for n in range(_LONG + 1)}
_COMPLEMENT = bytes.maketrans(b"0123456789", b"9876543210")
MAX_DIGITS = 4300  # what Python and pydantic read back as an int without being told otherwise


def member_of_int(value: int) -> bytes:
    """The sort form of an integer of at most `MAX_DIGITS` digits: byte order is numeric order.

    A number that is not negative is a length and its decimal digits. The length is one character of
    `0-9A-Za-z`, whose position counts the digits (`1` one, `A` ten, `y` sixty); from 61 digits on it is `z`
    and the count in four digits. A negative number is `-` and the form of its absolute value complemented, so
    that what was greater is less: the length character mirrored in its alphabet (`1` and `y`, `z` and `0`),
    every digit that follows subtracted from 9.

        0 -> 10     5 -> 15     42 -> 242     10**9 -> A1000000000     10**60 -> z00611000...
        -5 -> -y4   -42 -> -x57   -(10**60) -> -099388999...

    Raises ValueError for a longer number.
    """
    try:
        digits = b"%d" % abs(value)
    except ValueError:
        digits = b""
    size = len(digits)
    if not 0 < size <= MAX_DIGITS:
        raise ValueError(f"an integer of more than {MAX_DIGITS} digits cannot be a key")
    length, rest = (_LENGTHS[size : size + 1], digits) if size < _LONG else (b"z", b"%04d%b" % (size, digits))
    if value >= 0:
        return length + rest
    return b"-%b%b" % (_MIRRORED[length], rest.translate(_COMPLEMENT))


def int_of_member(member: bytes) -> int:
    """The inverse of `member_of_int`; ValueError for what it does not produce."""
    negative = member[:1] == b"-"
    length, rest = member[negative : negative + 1], member[negative + 1 :]
    if negative:
        length, rest = _MIRRORED.get(length, b""), rest.translate(_COMPLEMENT)
    digits = rest[4:] if length == b"z" else rest
    value = int(digits) if digits.isdigit() else 0
    if negative:
        value = -value
    if member_of_int(value) != member:
        raise ValueError("not the sort form of an integer")
    return value


TEXT_END = b"\0\0"


def escape_text(value: bytes) -> bytes:
    """Write every NUL as `00 FF`, so that `TEXT_END` occurs in no value; keeps byte order.

    The entries whose value starts with `p` are those from `escape_text(p)` up to, and without,
    `escape_text(p) + FF` (`FF` is in no UTF-8 text); those whose value is `v`, from `escape_text(v) 00 00` up
    to, and without, `escape_text(v) 00 01`.
    """
    return value.replace(b"\0", b"\0\xff")


def text_member(value: bytes, member: bytes) -> bytes:
    """An entry of a text index: its byte order is the order of the pairs `(value, member)`."""
    return escape_text(value) + TEXT_END + member


def split_text_member(entry: bytes) -> tuple[bytes, bytes]:
    """The `(value, member)` that `text_member` joined; ValueError for anything else."""
    value, end, member = entry.partition(TEXT_END)
    if not end:
        raise ValueError("not an entry of a text index")
    return value.replace(b"\0\xff", b"\0"), member
