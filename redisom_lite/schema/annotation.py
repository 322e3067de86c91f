"""Reading a field's declaration: what is indexed how, whether it may be `None`, within which bounds.

Works on pydantic's `FieldInfo`, whose annotation has lost its outermost `Annotated` to `metadata`. Aliases
and inner `Annotated` are looked through, so that `Range[PositiveInt | None]` is a nullable int above 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt
from pydantic import (
    AfterValidator,
    BeforeValidator,
    EncodedBytes,
    EncodedStr,
    FutureDate,
    FutureDatetime,
    Json,
    PlainValidator,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    WrapValidator,
)
from pydantic.fields import FieldInfo
from typing_inspection.typing_objects import is_typealiastype

from redisom_lite.schema.model_schema import Bounds

_json: Any = Json

# What is said of input only: the validators of users, and encodings that a value has left behind.
_AT_THE_DOOR: Final = (
    AfterValidator,
    BeforeValidator,
    PlainValidator,
    WrapValidator,
    EncodedBytes,
    EncodedStr,
    _json,
)
_TIMELESS: Final[dict[Any, Any]] = {FutureDate: date, FutureDatetime: datetime}


class Indexed(Enum):
    """The mark that `Key[...]`, `Range[...]`, `Tag[...]` and `Unique[...]` leave among a field's metadata."""

    KEY = "Key"
    RANGE = "Range"
    TAG = "Tag"
    UNIQUE = "Unique"

    def __repr__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Fading:
    """What `Field(ttl=...)` leaves among a field's metadata: how long a value that was written stays, in ms."""

    ms: int


@dataclass(frozen=True, slots=True)
class Declaration:
    """A field as declared: the type of a value that is not `None`, and what was said about it.

    `annotated` is that type with everything a user said of it, such as its serializer, and its aliases left alone:
    one that refers to itself, such as `JsonValue`, means nothing without its name.
    """

    type: Any
    annotated: Any
    nullable: bool
    marks: tuple[Indexed, ...]
    bounds: Bounds
    misplaced: Indexed | None
    ttl_ms: int | None


def read(info: FieldInfo) -> Declaration:
    """What a pydantic field declares."""
    inner, nullable, metadata = _unwrap(info.annotation)
    metadata += info.metadata
    named, _, said = _unwrap(info.annotation, aliases=False)
    return Declaration(
        type=inner,
        annotated=_annotated(named, [*said, *info.metadata], info),
        nullable=nullable,
        marks=tuple(item for item in metadata if isinstance(item, Indexed)),
        bounds=_bounds(_flat(metadata)),
        misplaced=next(_marks_in(info.annotation), None),
        ttl_ms=next((item.ms for item in _flat(metadata) if isinstance(item, Fading)), None),
    )


def unknown_type(infos: Mapping[str, FieldInfo]) -> str | None:
    """The first field, if any, whose type pydantic has no schema for."""
    for name, info in infos.items():
        annotation: Any = info.annotation
        try:
            TypeAdapter[Any](annotation)
        except PydanticSchemaGenerationError:
            return name
        except PydanticUserError:  # a reference that is still open, say
            continue
    return None


def without_validators(info: FieldInfo) -> Any:
    """The annotation of a field with its constraints, and without what only input has to pass.

    That is the validators that users wrote, encodings (`Json`, `Base64Str`), and "in the future", which ends.
    """
    return _annotated(_stripped(info.annotation), _without(info.metadata), info)


def _annotated(annotation: Any, metadata: Iterable[Any], info: FieldInfo) -> Any:
    told_apart = [] if info.discriminator is None else [FieldInfo(discriminator=info.discriminator)]
    said = (*metadata, *told_apart)
    return Annotated[(annotation, *said)] if said else annotation


def _unwrap(annotation: Any, *, aliases: bool = True) -> tuple[Any, bool, list[Any]]:
    metadata: list[Any] = []
    nullable = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata += more
        elif aliases and is_typealiastype(annotation):
            annotation = annotation.__value__
        elif aliases and is_typealiastype(
            get_origin(annotation)
        ):  # `Maybe[int]` of `type Maybe[T] = T | None`
            annotation = get_origin(annotation).__value__[get_args(annotation)]
        elif (rest := _without_none(annotation)) is not None:
            annotation, nullable = rest, True
        else:
            return annotation, nullable or annotation is NoneType, metadata


def _without_none(annotation: Any) -> Any:
    """The other choices of a union or Literal that has `None` among them; `None` when it has not."""
    choices = get_args(annotation)
    if _is_union(annotation) and NoneType in choices:
        return _union(choice for choice in choices if choice is not NoneType)
    if get_origin(annotation) is Literal and None in choices and len(choices) > 1:
        return Literal[tuple(choice for choice in choices if choice is not None)]
    return None


def _union(choices: Iterable[Any]) -> Any:
    union: Any = Union
    return union[tuple(choices)]


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _marks_in(annotation: Any) -> Iterator[Indexed]:
    """Marks inside of a type, where they mean nothing: `Tag[str] | None`, `list[Tag[str]]`."""
    for argument in get_args(annotation):
        if isinstance(argument, Indexed):
            yield argument
        else:
            yield from _marks_in(argument)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
        elif isinstance(item, GroupedMetadata):
            yield from _flat(item)
        else:
            yield item


def _bounds(metadata: Iterable[Any]) -> Bounds:
    """The tightest of each kind of limit."""
    found: dict[str, Any] = {}
    for item in metadata:
        match item:
            case Ge():
                found["ge"] = max(item.ge, found.get("ge", item.ge))
            case Gt():
                found["gt"] = max(item.gt, found.get("gt", item.gt))
            case Le():
                found["le"] = min(item.le, found.get("le", item.le))
            case Lt():
                found["lt"] = min(item.lt, found.get("lt", item.lt))
            case _:
                pass
    return Bounds(**found)


def _without(metadata: Iterable[Any]) -> list[Any]:
    return [item for item in metadata if not isinstance(item, _AT_THE_DOOR)]


def _stripped(annotation: Any) -> Any:
    """A type without what is for input only, anywhere inside, as in `list[Annotated[str, AfterValidator(f)]]`."""
    arguments, origin = get_args(annotation), get_origin(annotation)
    if not arguments or origin is Literal:
        return _TIMELESS.get(annotation, annotation) if isinstance(annotation, type) else annotation
    if origin is Annotated:
        inner, kept = _stripped(arguments[0]), _without(arguments[1:])
        return Annotated[(inner, *kept)] if kept else inner
    stripped = tuple(map(_stripped, arguments))
    if stripped == arguments:
        return annotation
    return _union(stripped) if _is_union(annotation) else origin[stripped]
