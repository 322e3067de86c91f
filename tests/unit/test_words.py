"""Packed words are read by hiredis as it reads its own packing, and by Python as the words they are."""

from __future__ import annotations

import pytest

from redisom_lite.engine.resp import evaluation, pack, reader
from redisom_lite.words import Words, joined, number, packed, slotted

WORDS = [b"", b"a", b"\r\n$3\r\n", b"%d%b", b"\x00\xff" * 200, "é".encode()]


def parsed(payload: bytes) -> object:
    parser = reader()
    parser.feed(payload, 0, len(payload))
    return parser.gets()


def test_words_read_singly_are_the_words() -> None:
    words = Words.of(WORDS)
    assert list(words) == WORDS
    assert len(words) == len(WORDS)
    assert [words[n] for n in range(len(WORDS))] == WORDS
    assert words[1:4] == WORDS[1:4]
    assert words[-1] == WORDS[-1]
    with pytest.raises(IndexError):
        words[len(WORDS)]


def test_words_joined_keep_their_order_and_size() -> None:
    both = joined((Words.of(WORDS), Words(0, []), Words.of([b"z"])))
    assert list(both) == [*WORDS, b"z"]
    assert both.size == len(packed(*WORDS, b"z"))


@pytest.mark.parametrize("value", [0, 1, 255, 256, 10**9])
def test_number_packs_its_digits(value: int) -> None:
    assert number(value) == packed(b"%d" % value)


@pytest.mark.parametrize("word", WORDS)
def test_slot_takes_any_word_behind_any_words(word: bytes) -> None:
    assert slotted(*WORDS) % (len(word), word) == packed(*WORDS, word)


@pytest.mark.parametrize("command", [Words.of(WORDS), WORDS])
def test_command_is_packed_as_hiredis_packs_it(command: Words | list[bytes]) -> None:
    assert parsed(pack(command)) == WORDS


def test_evaluation_is_the_same_command_with_packed_arguments() -> None:
    keys = [b"{a}:r:1", b"{a}:r:2"]
    plain, of_words = (evaluation((b"EVALSHA", b"abc"), keys, args) for args in (WORDS, Words.of(WORDS)))
    assert parsed(pack(of_words)) == parsed(pack(plain)) == [b"EVALSHA", b"abc", b"2", *keys, *WORDS]
    assert of_words[3:5] == keys
