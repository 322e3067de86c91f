"""What is asked of a cache: a key, how its answer is made, kept and written, and the answer itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redisom_lite.cache.dependencies import Place
from redisom_lite.cache.entries import NONE, NOT_FOUND, VALUE, Lifetimes
from redisom_lite.containers.typed import Values
from redisom_lite.errors import NotFoundError


def not_found() -> NotFoundError:
    """What is raised where that nothing was found is the answer."""
    return NotFoundError("nothing was found when this was last looked for, and that is still remembered")


@dataclass(frozen=True, slots=True)
class Policy:
    """How answers are kept, ms: `fresh`; `grace`, the time after it in which they stand in for a loader that fails;
    `negative`, how long "nothing" is fresh (None: as long as any other answer).
    """

    fresh: int
    grace: int = 0
    negative: int | None = None
    early: float = 1.0
    lock: int = 10_000

    @property
    def longest(self) -> int:
        """How long any answer can be fresh."""
        return max(self.fresh, self.negative or 0)

    def lifetimes(self, kind: bytes) -> Lifetimes:
        """Those of an answer of a kind. "Nothing" never stands in for anything."""
        if kind == VALUE or self.negative is None:
            return Lifetimes(self.fresh, self.grace if kind == VALUE else 0)
        return Lifetimes(self.negative, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, as stored; each caller makes a value of its own of it. `stale`: in place of a failed load."""

    kind: bytes
    text: bytes = b""
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a key, how its answer is loaded, read and written, kept, and what it depends on."""

    key: str
    loader: Callable[[], Awaitable[Any]]
    values: Values[Any]
    policy: Policy
    tags: tuple[bytes, ...] = ()
    places: Mapping[bytes, Place] = field(default_factory=dict[bytes, Place])

    def value_of(self, answer: Answer) -> Any:
        """The value itself, made anew; `NotFoundError` where that is the answer, `DecodeError` for another type's."""
        if answer.kind == NOT_FOUND:
            raise not_found()
        return None if answer.kind == NONE else self.values.decode(answer.text, b"")

    def answer_of(self, value: Any) -> Answer:
        return Answer(NONE) if value is None else Answer(VALUE, self.values.encode(value))
