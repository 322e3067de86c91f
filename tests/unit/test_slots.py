"""Which slot a command goes to on a cluster."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from redis.crc import key_slot

from redisom_lite.engine.cluster import keys_of, slot_of

KEYS = [b"", b"a", b"{a}b", b"x{a}b", b"{}a", b"{a", b"a}", b"{{a}}", b"}{a}", b"{a}{b}", b"\xff"]


@pytest.mark.parametrize("key", KEYS)
def test_slot_of_a_key_is_the_driver_s(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("GET", "k"), ("k",)),
        ((b"hget", b"k", "f"), (b"k",)),
        (("EVALSHA", "sha", 2, "a", "b", "c"), ("a", "b")),
        (("EVAL", "text", "0", "c"), ()),
        (("MEMORY", "USAGE", "k"), ("k",)),
        (("OBJECT", "ENCODING", "k"), ("k",)),
        (("INFO", "memory"), ()),
        (("PING",), ()),
    ],
)
def test_keys_of_a_command_are_found(command: Sequence[str], keys: Sequence[str]) -> None:
    assert tuple(keys_of(command)) == keys
