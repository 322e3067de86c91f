"""Sortable unique ids."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from redisom_lite import new_id
from redisom_lite.ids import _ALPHABET  # pyright: ignore[reportPrivateUsage]


def moment(identity: str) -> float:
    """The seconds since 1970 in an id."""
    number = 0
    for character in identity[:10]:
        number = number * 32 + _ALPHABET.index(character)
    return number / 1000


def test_id_is_26_characters_of_crockfords_alphabet() -> None:
    identity = new_id()
    assert len(identity) == 26
    assert set(identity) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_id_holds_the_time_it_was_made() -> None:
    before = time.time()
    assert before - 0.002 <= moment(new_id()) <= time.time() + 0.002


def test_ids_are_unique_and_ascend() -> None:
    made = [new_id() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_ids_ascend_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert first < new_id() < new_id()


def test_ids_of_many_threads_are_unique_and_ascend_in_each() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [new_id() for _ in range(2_000)], range(8)))
    assert all(batch == sorted(batch) for batch in made)
    assert len({identity for batch in made for identity in batch}) == 16_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_makes_ids_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 10**15)  # one millisecond, and before what was made so far
    new_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, "".join(new_id() for _ in range(100)).encode())
        os._exit(0)
    made = {new_id() for _ in range(100)}
    os.waitpid(child, 0)
    theirs = os.read(reader, 10_000).decode()
    os.close(reader)
    os.close(writer)
    assert made.isdisjoint(theirs[at : at + 26] for at in range(0, len(theirs), 26))
