"""`@cache(...)`: an async function, or method, that answers from a cache.

What a declaration cannot mean is refused where it stands; a return annotation that is not complete yet, at the first
call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from copy import copy
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, get_type_hints, overload

from redisom_lite.cache.arguments import Arguments, Template
from redisom_lite.cache.dependencies import Depending, Depends, depending
from redisom_lite.cache.request import Policy
from redisom_lite.containers.typed import Values
from redisom_lite.errors import DeclarationError
from redisom_lite.plan.expression import Condition
from redisom_lite.query import Query

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

UNSET: Any = object()


class Answering(Protocol):
    """The cache behind a decorated function, as far as this file knows it."""

    async def answer(self, key: str, loader: Callable[[], Any], asked: Asked) -> Any: ...

    async def delete(self, key: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """How one call is answered."""

    values: Values[Any]
    policy: Policy
    tags: tuple[str, ...] = ()
    depends: tuple[Depending, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """What stands in the decorator's brackets."""

    policy: Policy
    key: str | None = None
    tags: tuple[str, ...] = ()
    depends_on: Depends = ()
    type: Any = field(default=UNSET)


class Cached(Generic[P, R]):
    """An async function that answers from a cache: called like it; `key_of` and `delete` take its arguments."""

    def __init__(
        self, cache: Answering, function: Callable[P, Coroutine[Any, Any, R]], declared: Declared
    ) -> None:
        _check_async(function)
        update_wrapper(self, function)
        self._cache = cache
        self._function = function
        self._declared = declared
        self._arguments = arguments = Arguments(function)
        self._key = None if declared.key is None else Template(declared.key, arguments, "key")
        self._tags = [Template(tag, arguments, "tag") for tag in declared.tags]
        depends: Any = declared.depends_on
        self._per_call = callable(depends) and not isinstance(depends, type | Condition | Query)
        self._depends = () if self._per_call else depending(declared.depends_on)
        self._values: Values[Any] | None = None
        self._bound: tuple[Any, ...] = ()
        if declared.type is not UNSET:
            self._values = Values(declared.type)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        whole = (*self._bound, *args)
        arguments = self._arguments.bind(whole, kwargs)
        depends = self._depends
        if self._per_call:
            of_call: Any = self._declared.depends_on
            depends = depending(of_call(**arguments))
        tags = tuple(tag.fill(arguments) for tag in self._tags)
        asked = Asked(self._values or self._typed(), self._declared.policy, tags, depends)
        loader: Callable[[], Any] = partial(self._function, *whole, **kwargs)
        found: R = await self._cache.answer(self._text(arguments), loader, asked)
        return found

    def _typed(self) -> Values[Any]:
        """The values of the return annotation; any that JSON can hold where there is none."""
        try:
            hints = get_type_hints(self._function, include_extras=True)
        except NameError as error:
            raise DeclarationError(
                f"{self._arguments.name}: its return annotation names {error.name}, which its module does not know: "
                "give @cache(type=...)"
            ) from error
        try:
            self._values = Values(hints.get("return", Any))
        except DeclarationError as error:
            raise DeclarationError(f"{self._arguments.name}: {error}") from error
        return self._values

    def _text(self, arguments: dict[str, Any]) -> str:
        return self._arguments.digest(arguments) if self._key is None else self._key.fill(arguments)

    def key_of(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key under which the answer to a call with these arguments is kept."""
        return self._text(self._arguments.bind((*self._bound, *args), kwargs))

    async def delete(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the answer to a call with these arguments; whether there was one. As `Cache.delete`."""
        return await self._cache.delete(self.key_of(*args, **kwargs))

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Self: ...
    @overload
    def __get__(self: Cached[Concatenate[Any, Q], R], instance: object, owner: Any, /) -> Cached[Q, R]: ...
    @overload  # for checkers that cannot tell the parameters apart
    def __get__(self, instance: object, owner: Any, /) -> Cached[..., R]: ...
    def __get__(self, instance: Any, owner: Any, /) -> Any:
        if instance is None:
            return self
        bound = copy(self)
        bound._bound = (*self._bound, instance)
        return bound


def _check_async(function: object) -> None:
    if inspect.iscoroutinefunction(function):
        return
    name = getattr(function, "__qualname__", type(function).__name__)
    raise DeclarationError(
        f"{name} is no async function: @cache(...) decorates `async def` functions and methods that return a value "
        "(put it below @classmethod and @staticmethod)"
    )


def several(given: str | Iterable[str]) -> tuple[str, ...]:
    """Tags, of which one may be given alone."""
    return (given,) if isinstance(given, str) else tuple(given)
