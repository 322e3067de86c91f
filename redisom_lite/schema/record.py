"""What every floor knows of a model instance: its schema, and what was last known to be stored of it.

The state lives in a slot beside pydantic's own, so that fields, private attributes, equality, dumps, repr
and JSON schema know nothing of it. It follows an instance into every copy: saving the copy of a loaded
record is an update of that record too, and never brings back one that has gone.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from pydantic import BaseModel

from redisom_lite.schema.model_schema import ModelSchema

if TYPE_CHECKING:
    from typing import Self


R = TypeVar("R", bound="Record")


class State:
    """What is known of the stored record of a loaded or saved object.

    `row` holds the stored texts in the order of the schema's fields, `None` for a field whose value is
    `None`. `version` is that of a versioned model. `manager` is the one that created or loaded the object.
    """

    __slots__ = ("manager", "row", "version")

    def __init__(
        self,
        row: list[bytes | None],
        version: int | None = None,
        manager: object | None = None,
    ) -> None:
        self.row = row
        self.version = version
        self.manager = manager

    def __copy__(self) -> State:
        return State(copy(self.row), self.version, self.manager)

    def __deepcopy__(self, memo: dict[int, Any]) -> State:
        return copy(self)  # texts are immutable, and a manager belongs to its class

    def __getstate__(self) -> tuple[Any, ...]:
        return self.row, self.version, self.manager

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.row, self.version, self.manager = state


class Record(BaseModel, defer_build=True):
    """A pydantic model that remembers what is stored of it.

    This class has no field: importing it need not build validators, nor load pydantic's plugins. Subclasses inherit the
    setting; `Model` ends it for the models of a program.
    """

    __slots__ = ("__redisom_state__",)

    __redisom_schema__: ClassVar[ModelSchema]
    __redisom_database__: ClassVar[object] = None
    """What `bind` was called on; there by name, for the metaclass is slow to say that it is not."""

    def __copy__(self) -> Self:
        return _with_state_of(self, super().__copy__())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return _with_state_of(self, super().__deepcopy__(memo))

    def __getstate__(self) -> dict[Any, Any]:
        return super().__getstate__() | {"__redisom_state__": state_of(self)}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        set_state(self, state.get("__redisom_state__"))


# The slot's own descriptor: `getattr` on an instance without a state would ask pydantic's `__getattr__`.
_slot: Any = Record.__dict__["__redisom_state__"]


def state_of(record: Record) -> State | None:
    """The state of an object; `None` for a new one, of which nothing is stored yet."""
    try:
        state: State | None = _slot.__get__(record)
    except AttributeError:
        return None
    return state


set_state: Final[Callable[[Record, State | None], None]] = _slot.__set__
"""Give an object the state of its stored record; `None` makes it new again."""


def _with_state_of(source: Record, copied: R) -> R:
    set_state(copied, copy(state_of(source)))
    return copied
