"""What an instance knows of its stored record, and how that follows it around."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from pydantic import ConfigDict, PrivateAttr

from redisom_lite import Key, Model, Range, Tag
from redisom_lite.schema.record import State, set_state, state_of


class Note(Model):
    id: Key[int]
    text: Range[str]
    tags: Tag[list[str]] = []  # type: ignore[assignment]  # noqa: RUF012
    _private: list[int] = PrivateAttr(default_factory=list)


def loaded() -> Note:
    note = Note(id=1, text="x", tags=["a"])
    set_state(note, State([b"1", b"x", b'["a"]'], version=3, manager=Note.objects))
    return note


def test_new_object_has_no_state() -> None:
    assert state_of(Note(id=1, text="x")) is None
    assert state_of(Note.model_construct(id=1)) is None
    assert state_of(Note.model_validate({"id": 1, "text": "x"})) is None


def test_state_can_be_set_and_taken_away() -> None:
    note = loaded()
    assert state_of(note) is not None
    set_state(note, None)
    assert state_of(note) is None


def test_state_shows_nowhere() -> None:
    fresh, note = Note(id=1, text="x", tags=["a"]), loaded()
    assert note == fresh
    assert repr(note) == repr(fresh)
    assert note.model_dump() == fresh.model_dump()
    assert note.model_dump_json() == fresh.model_dump_json()
    assert vars(note) == vars(fresh)
    assert note.model_fields_set == fresh.model_fields_set
    assert "redisom" not in str(Note.model_json_schema())
    assert dict(note) == dict(fresh)


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        Note.model_copy,
        lambda note: note.model_copy(deep=True),
        lambda note: note.model_copy(update={"text": "y"}),
        lambda note: note.model_copy(update={"text": "y"}, deep=True),
        lambda note: pickle.loads(pickle.dumps(note)),
        lambda note: copy.deepcopy([note])[0],
    ],
)
def test_copy_of_a_loaded_object_has_a_state_of_its_own(copied: Any) -> None:
    note = loaded()
    other = copied(note)
    before, after = state_of(note), state_of(other)
    assert before is not None
    assert after is not None
    assert after is not before
    assert after.row == before.row
    assert after.row is not before.row
    assert (after.version, after.manager) == (3, Note.objects)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda note: pickle.loads(pickle.dumps(note))])
def test_copy_of_a_new_object_is_new(copied: Any) -> None:
    assert state_of(copied(Note(id=1, text="x"))) is None


def test_mapping_of_the_fields_read_is_copied_too() -> None:
    note = Note(id=1, text="x")
    set_state(note, State({"id": b"1"}))
    other = state_of(copy.copy(note))
    assert other is not None
    assert other.row == {"id": b"1"}


def test_state_stays_when_fields_are_assigned_and_validated() -> None:
    class Strict(Model):
        model_config = ConfigDict(validate_assignment=True)
        id: Key[int]

    record = Strict(id=1)
    set_state(record, State([b"1"]))
    record.id = 2
    assert state_of(record) is not None
    assert state_of(Strict.model_validate(record)) is state_of(record)


def test_frozen_objects_have_a_state() -> None:
    class Frozen(Model):
        model_config = ConfigDict(frozen=True)
        id: Key[int]

    record = Frozen(id=1)
    set_state(record, State([b"1"]))
    assert state_of(record) is not None
    assert hash(record) == hash(Frozen(id=1))
