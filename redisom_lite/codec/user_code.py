"""Finding the validators and serializers that users wrote, in a type and all it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from typing import Annotated, Any, NewType, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WrapSerializer, WrapValidator
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType, is_typeddict

_ANNOTATIONS = (AfterValidator, BeforeValidator, WrapValidator, PlainSerializer, WrapSerializer)
_DECORATED = (
    "validators", "field_validators", "root_validators", "model_validators", "field_serializers",
    "model_serializers",
)  # fmt: skip


def user_functions(annotation: Any) -> Callable[[Any], bool]:
    """A test for functions in the core schema of this type: did a user write it, decorated or annotated?

    A function that a type's own `__get_pydantic_core_schema__` brings is not: it is how the type is made.
    """
    found = {_mark(function): function for function in _functions(annotation, {})}
    return lambda function: _mark(function) in found


def _mark(function: Any) -> object:
    """What stays the same when a postponed annotation, and a lambda in it, is evaluated once more."""
    return getattr(function, "__code__", id(function))


def _functions(annotation: Any, seen: dict[int, Any]) -> Iterator[object]:
    if id(annotation) in seen:
        return
    seen[id(annotation)] = annotation  # which also keeps its id from being given away
    if isinstance(annotation, NewType):
        yield from _functions(annotation.__supertype__, seen)
    elif isinstance(annotation, TypeAliasType):
        yield from _functions(annotation.__value__, seen)
    elif get_origin(annotation) is Annotated:
        yield from _of_metadata(annotation.__metadata__)
    for argument in get_args(annotation):
        yield from _functions(argument, seen)
    origin: Any = get_origin(annotation) or annotation
    if isinstance(origin, type):
        yield from _of_class(origin, seen)


def _of_metadata(metadata: Iterable[Any]) -> Iterator[object]:
    for item in metadata:
        if isinstance(
            item, AfterValidator | BeforeValidator | WrapValidator | PlainSerializer | WrapSerializer
        ):
            yield item.func
        elif isinstance(item, FieldInfo):
            yield from _of_metadata(item.metadata)


def _of_class(cls: Any, seen: dict[int, Any]) -> Iterator[object]:
    decorators = getattr(cls, "__pydantic_decorators__", None)
    for kind in _DECORATED if decorators is not None else ():
        for decorator in getattr(decorators, kind).values():
            yield decorator.func
    fields: dict[str, Any] = getattr(cls, "__pydantic_fields__", {})
    for info in fields.values():
        yield from _of_metadata(info.metadata)
        yield from _functions(info.annotation, seen)
    if not fields and (is_dataclass(cls) or is_typeddict(cls) or hasattr(cls, "_fields")):
        for hint in _hints(cls):
            yield from _functions(hint, seen)


def _hints(cls: Any) -> Iterable[Any]:
    try:
        return get_type_hints(cls, include_extras=True).values()
    except NameError:  # names that only pydantic's own resolution knows
        return ()
