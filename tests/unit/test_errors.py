"""The error tree: its shape, and that errors survive pickling."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from redisom_lite import errors

CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__
]


def drawn_parents() -> dict[str, str]:
    """The tree as the docstring draws it: class -> its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            parents[found[2]] = path[depth - 1] if depth else "Exception"
    return parents


def test_tree_as_drawn_is_the_tree_as_built() -> None:
    assert drawn_parents() == {kind.__name__: kind.__base__.__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES)
def test_error_with_a_message_shows_it_alone(kind: type[Exception]) -> None:
    assert str(kind("what happened")) == "what happened"


@pytest.mark.parametrize("kind", CLASSES)
def test_error_without_arguments_can_be_made(kind: type[Exception]) -> None:
    assert str(kind()) == ""


SAMPLES = [
    errors.UniqueError("m", field="ean", value_owner_pk="p1", model="Product", pk="p2"),
    errors.NotFoundError("m", model="Product", pk=7),
    errors.ConstraintError("m", field="stock"),
    errors.DecodeError("m", key="k", field="f"),
    errors.ConflictError("m", attempts=3, keys=["a", "b"]),
    errors.BulkError("m", errors=[(2, errors.NotFoundError("gone", pk="x"))]),
    errors.OutOfMemoryError("m", outcome="unknown", code="OOM"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_error_pickled_keeps_its_attributes(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == "m"
    assert repr(vars(back)) == repr(vars(error))


def test_attributes_by_position_are_refused() -> None:
    with pytest.raises(TypeError):
        errors.BackendError("m", "unknown")  # type: ignore[misc] # what is tested


def test_conflict_keys_become_a_tuple() -> None:
    assert errors.ConflictError("m", keys=(key for key in "ab")).keys == ("a", "b")


def test_backend_error_by_default_had_no_effect() -> None:
    assert errors.BackendError("m").outcome == "none"
