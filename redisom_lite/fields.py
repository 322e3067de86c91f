"""How a field declares its index, `Key`, `Range`, `Tag`, `Unique`, and its default and constraints, `Field`.

At run time `Range[Decimal]` is `Annotated[Decimal, Indexed.RANGE]`: to pydantic a Decimal, and no more. To
type checkers it is a descriptor: a column on the class, a Decimal on an instance and in the constructor.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NoReturn, TypeVar, overload

from redisom_lite.columns import (
    DecimalColumn,
    KeyColumn,
    MultiTagColumn,
    RangeColumn,
    TagColumn,
    TextColumn,
    UniqueColumn,
)
from redisom_lite.errors import DeclarationError, RedisomError
from redisom_lite.schema.annotation import Fading, Indexed
from redisom_lite.schema.lifetime import Lifetime, milliseconds

if TYPE_CHECKING:
    import re

    import annotated_types
    from pydantic import AliasChoices, AliasPath
    from pydantic.config import JsonDict
    from pydantic.fields import FieldInfo
    from pydantic.types import Discriminator
    from typing_extensions import deprecated as Deprecated

T = TypeVar("T")
V = TypeVar("V")
K = TypeVar("K")

if TYPE_CHECKING:

    class _Declared(Generic[T]):
        def __set__(self, obj: object, value: T, /) -> None: ...

    class Key(_Declared[T]):
        """The primary key, exactly one per model: `str`, `int` or `UUID`."""

        @overload
        def __get__(self, obj: None, owner: Any, /) -> KeyColumn[T]: ...
        @overload
        def __get__(self, obj: object, owner: Any, /) -> T: ...
        def __get__(self, obj: object, owner: Any, /) -> Any: ...

    class Range(_Declared[T]):
        """An ordered index: numbers, moments, durations, bools and IntEnums by size, `str` by code point."""

        @overload
        def __get__(self: Range[Decimal], obj: None, owner: Any, /) -> DecimalColumn: ...
        @overload
        def __get__(self: Range[Decimal | None], obj: None, owner: Any, /) -> DecimalColumn: ...
        @overload
        def __get__(self: Range[str], obj: None, owner: Any, /) -> TextColumn: ...
        @overload
        def __get__(self: Range[str | None], obj: None, owner: Any, /) -> TextColumn: ...
        @overload
        def __get__(self: Range[V | None], obj: None, owner: Any, /) -> RangeColumn[V]: ...
        @overload
        def __get__(self: Range[V], obj: None, owner: Any, /) -> RangeColumn[V]: ...
        @overload
        def __get__(self, obj: object, owner: Any, /) -> T: ...
        def __get__(self, obj: object, owner: Any, /) -> Any: ...

    class Tag(_Declared[T]):
        """An exact-match index: `str`, `int`, `bool`, `UUID`, Enum, Literal, or a collection of these."""

        @overload
        def __get__(self: Tag[set[V]], obj: None, owner: Any, /) -> MultiTagColumn[V]: ...
        @overload
        def __get__(self: Tag[set[V] | None], obj: None, owner: Any, /) -> MultiTagColumn[V]: ...
        @overload
        def __get__(self: Tag[frozenset[V]], obj: None, owner: Any, /) -> MultiTagColumn[V]: ...
        @overload
        def __get__(self: Tag[frozenset[V] | None], obj: None, owner: Any, /) -> MultiTagColumn[V]: ...
        @overload
        def __get__(self: Tag[list[V]], obj: None, owner: Any, /) -> MultiTagColumn[V]: ...
        @overload
        def __get__(self: Tag[list[V] | None], obj: None, owner: Any, /) -> MultiTagColumn[V]: ...
        @overload
        def __get__(self: Tag[tuple[V, ...]], obj: None, owner: Any, /) -> MultiTagColumn[V]: ...
        @overload
        def __get__(self: Tag[tuple[V, ...] | None], obj: None, owner: Any, /) -> MultiTagColumn[V]: ...
        @overload
        def __get__(self, obj: None, owner: Any, /) -> TagColumn[T]: ...
        @overload
        def __get__(self, obj: object, owner: Any, /) -> T: ...
        def __get__(self, obj: object, owner: Any, /) -> Any: ...

    class Unique(_Declared[T]):
        """An exact-match index that no two live records share a value of, but for `None`."""

        @overload
        def __get__(self, obj: None, owner: Any, /) -> UniqueColumn[T]: ...
        @overload
        def __get__(self, obj: object, owner: Any, /) -> T: ...
        def __get__(self, obj: object, owner: Any, /) -> Any: ...

    _Unset: Any = ...

    def Field(
        default: Any = ...,
        *,
        default_factory: Callable[[], Any] | Callable[[dict[str, Any]], Any] | None = _Unset,
        alias: str | None = _Unset,
        alias_priority: int | None = _Unset,
        validation_alias: str | AliasPath | AliasChoices | None = _Unset,
        serialization_alias: str | None = _Unset,
        title: str | None = _Unset,
        field_title_generator: Callable[[str, FieldInfo], str] | None = _Unset,
        description: str | None = _Unset,
        examples: list[Any] | None = _Unset,
        exclude: bool | None = _Unset,
        exclude_if: Callable[[Any], bool] | None = _Unset,
        discriminator: str | Discriminator | None = _Unset,
        deprecated: Deprecated | str | bool | None = _Unset,
        json_schema_extra: JsonDict | Callable[[JsonDict], None] | None = _Unset,
        frozen: bool | None = _Unset,
        validate_default: bool | None = _Unset,
        repr: bool = _Unset,
        init: bool | None = _Unset,
        init_var: bool | None = _Unset,
        kw_only: bool | None = _Unset,
        pattern: str | re.Pattern[str] | None = _Unset,
        strict: bool | None = _Unset,
        coerce_numbers_to_str: bool | None = _Unset,
        gt: annotated_types.SupportsGt | None = _Unset,
        ge: annotated_types.SupportsGe | None = _Unset,
        lt: annotated_types.SupportsLt | None = _Unset,
        le: annotated_types.SupportsLe | None = _Unset,
        multiple_of: float | None = _Unset,
        allow_inf_nan: bool | None = _Unset,
        max_digits: int | None = _Unset,
        decimal_places: int | None = _Unset,
        min_length: int | None = _Unset,
        max_length: int | None = _Unset,
        union_mode: Literal["smart", "left_to_right"] = _Unset,
        fail_fast: bool | None = _Unset,
        ttl: Lifetime | None = None,
    ) -> Any:
        """Pydantic's `Field`, returning `Any` so that it may stand where a `Range[Decimal]` is declared.

        `ttl`: how long a value of this field stays, a timedelta, seconds, or text such as "30m". Every write of the
        field renews it; when it ends the field reads as its default, which it must have, and the record stays. For
        fields without an index, on servers that have HPEXPIRE (Redis 7.4, Valkey 9): others refuse the write with
        `DeclarationError`.
        """

else:
    from pydantic import Field as _PydanticField

    def Field(*args, ttl=None, **options):
        """Pydantic's `Field`; `ttl` is how long a value of the field stays."""
        info = _PydanticField(*args, **options)
        if ttl is not None:
            try:
                info.metadata.append(Fading(milliseconds(ttl, "Field(ttl=...)")))
            except RedisomError as error:
                raise DeclarationError(str(error)) from None
        return info

    class _Declared:
        """What the four declare in common: a subscript turns into an annotation that pydantic understands."""

        indexed: Indexed

        def __class_getitem__(cls, declared):
            if isinstance(declared, tuple):
                raise DeclarationError(f"{cls.__name__} takes one type, as in {cls.__name__}[str]")
            return Annotated[declared, cls.indexed]

        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler) -> NoReturn:
            raise DeclarationError(f"{cls.__name__} needs the type of its values, as in {cls.__name__}[str]")

    class Key(_Declared):
        """The primary key."""

        indexed = Indexed.KEY

    class Range(_Declared):
        """An ordered index."""

        indexed = Indexed.RANGE

    class Tag(_Declared):
        """An exact-match index."""

        indexed = Indexed.TAG

    class Unique(_Declared):
        """An exact-match index without duplicates."""

        indexed = Indexed.UNIQUE
