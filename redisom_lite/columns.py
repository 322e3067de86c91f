"""Typed columns: what `Product.price` is on the class, and the conditions its operators build.

An operator checks its operand and encodes it at once, with the codec that also stores and indexes the
field, so a comparison that cannot work raises `QueryError` where it is written. Type checkers see on each
column only what it can do; at run time every column answers every operation, if only with the declaration
it would need.

`None` follows Python's `==`: `column == None` means `is_none()`, and so does a `None` among the values of
`in_`. No other operation takes it. A negation (`!=`, `not_in`) selects every record that its positive form
does not, those whose value is `None` included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final, Generic, Literal, NoReturn, TypeAlias

from typing_extensions import TypeVar

from redisom_lite.codec.scalars import DECIMAL
from redisom_lite.errors import QueryError, UnindexedFieldError
from redisom_lite.plan.expression import (
    And,
    Condition,
    HasToken,
    IsNone,
    KeyIn,
    Not,
    NumberRange,
    Or,
    Term,
    TextPrefix,
    TextRange,
)
from redisom_lite.schema.model_schema import FieldSpec, Kind, ModelSchema

V = TypeVar("V")
O = TypeVar("O", default=V)  # noqa: E741  # an operand

Ends: TypeAlias = Literal["[]", "[)", "(]", "()"]

_OPEN: Final = {"[]": (False, False), "[)": (False, True), "(]": (True, False), "()": (True, True)}

_ORDER = "declare it Range[...] to compare or order by size"
_EQUALITY = "declare it Tag[...] to compare for equality"
_SEVERAL = "declare it Tag[set[...]] to hold several values"
_CURES: Final = {
    "__eq__": _EQUALITY,
    "__ne__": _EQUALITY,
    "__lt__": _ORDER,
    "__le__": _ORDER,
    "__gt__": _ORDER,
    "__ge__": _ORDER,
    "between": _ORDER,
    "in_": _EQUALITY,
    "not_in": "write ~column.in_(...)",
    "is_none": "only a field that may be None can be asked for it",
    "startswith": "declare it Range[str] to compare how its text begins",
    "has": _SEVERAL,
    "has_any": _SEVERAL,
    "has_all": _SEVERAL,
    "asc": _ORDER,
    "desc": _ORDER,
}
_SIGNS: Final = {"__eq__": "==", "__ne__": "!=", "__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}


class Column(Generic[V]):
    """A field of a model, as queries name it. `V` is the type of its values."""

    __slots__ = ("field", "schema")

    declared = ""

    def __init__(self, schema: ModelSchema, field: FieldSpec) -> None:
        self.schema = schema
        self.field = field

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{self.field.model}.{self.field.name}"

    def _refuse(self, operation: str, cure: str) -> NoReturn:
        raise QueryError(f"{self!r} is declared {self.declared} and does not support {operation}: {cure}")

    def _encoded(self, encode: Callable[[Any], Any], value: object) -> Any:
        """Check and encode one operand. The messages of a codec name types and never hold a value."""
        if value is None:
            raise QueryError(f"{self!r} cannot be compared with None here: use {self!r}.is_none()")
        try:
            return encode(value)
        except (TypeError, ValueError) as error:
            raise QueryError(f"{self!r} cannot be compared with this value: {error}") from error

    def _several(self, values: Iterable[Any]) -> list[Any]:
        if not isinstance(values, str | bytes):
            try:
                return list(values)
            except TypeError:
                pass
        raise QueryError(f"{self!r} expected one iterable of values, got {type(values).__name__}")


def _refusing(name: str, cure: str) -> Callable[..., NoReturn]:
    def refuse(self: Column[Any], *_operands: object, **_options: object) -> NoReturn:
        self._refuse(_SIGNS.get(name, f"{name}()"), cure)  # pyright: ignore[reportPrivateUsage]

    return refuse


for _name, _cure in _CURES.items():
    setattr(Column, _name, _refusing(_name, _cure))


class UnindexedColumn(Column[Any]):
    """A field that is stored and not indexed: whatever a query asks of it raises `UnindexedFieldError`."""

    __slots__ = ()

    def _refuse(self, operation: str, cure: str) -> NoReturn:
        raise UnindexedFieldError(
            f"{self!r} has no index and does not support {operation}: declare it Range[...] (equality, "
            "order, bounds) or Tag[...] (equality), and run reindex if records are already stored"
        )


class _NullableColumn(Column[V]):
    """What the columns of `Range`, `Tag` and `Unique` share."""

    __slots__ = ()

    def is_none(self) -> Condition:
        """Match the records whose value is `None`."""
        return IsNone(self.field)


class _OrderedColumn(Column[V]):
    """What the columns of `Range` and `Key` share."""

    __slots__ = ()

    def asc(self) -> Term:
        """Order from the least value to the greatest, `None` last."""
        return Term(self.field)

    def desc(self) -> Term:
        """Order from the greatest value to the least, `None` last."""
        return Term(self.field, descending=True)


# `==` builds a condition here, which is what columns are for: hence `type: ignore[override]` below.


class RangeColumn(_OrderedColumn[V], _NullableColumn[V], Generic[V, O]):
    """A `Range` field: equality, order, bounds.

    `V` is the type of a value that is not `None`, `O` that of what it may be compared with.
    """

    __slots__ = ()

    declared = "Range"

    def __eq__(self, other: O | None) -> Condition:  # type: ignore[override]
        if other is None:
            return self.is_none()
        value = self._bound(other)
        return self._within(value, value)

    def __ne__(self, other: O | None) -> Condition:  # type: ignore[override]
        return Not(self == other)

    def __lt__(self, other: O) -> Condition:
        return self._within(None, self._bound(other), high_open=True)

    def __le__(self, other: O) -> Condition:
        return self._within(None, self._bound(other))

    def __gt__(self, other: O) -> Condition:
        return self._within(self._bound(other), None, low_open=True)

    def __ge__(self, other: O) -> Condition:
        return self._within(self._bound(other), None)

    __hash__ = object.__hash__

    def between(self, low: O, high: O, *, bounds: Ends = "[]") -> Condition:
        """Match the values from `low` to `high`; `bounds` excludes an end with `(` or `)`.

        Nothing matches when `low` is above `high`.
        """
        ends = next((ends for text, ends in _OPEN.items() if text == bounds), None)
        if ends is None:
            raise QueryError(f'{self!r}.between() takes bounds "[]", "[)", "(]" or "()"')
        low_open, high_open = ends
        return self._within(self._bound(low), self._bound(high), low_open=low_open, high_open=high_open)

    def in_(self, values: Iterable[O | None]) -> Condition:
        """Match any of the values; nothing when there are none."""
        return _any_of(self == value for value in self._several(values))

    def _bound(self, value: object) -> Any:
        codec = self.field.codec
        return self._encoded(codec.score if self.field.kind is Kind.NUMBER else codec.lex, value)

    def _within(self, low: Any, high: Any, *, low_open: bool = False, high_open: bool = False) -> Condition:
        leaf = NumberRange if self.field.kind is Kind.NUMBER else TextRange
        return leaf(self.field, low, high, low_open, high_open)


class DecimalColumn(RangeColumn[Decimal, Decimal | int]):
    """A `Range` field of Decimals, which an int may be compared with as well."""

    __slots__ = ()


class TextColumn(RangeColumn[str]):
    """A `Range[str]` field: ordered by code point."""

    __slots__ = ()

    def startswith(self, prefix: str) -> Condition:
        """Match the values that begin with `prefix`; the empty prefix matches every text, and not `None`."""
        return TextPrefix(self.field, self._encoded(self.field.codec.lex, prefix))


class _TokenColumn(_NullableColumn[V]):
    """What the columns of a single-valued `Tag` and of `Unique` share: equality."""

    __slots__ = ()

    def __eq__(self, other: V | None) -> Condition:  # type: ignore[override]
        if other is None:
            return self.is_none()
        return HasToken(self.field, (self._encoded(self.field.codec.token, other),))

    def __ne__(self, other: V | None) -> Condition:  # type: ignore[override]
        return Not(self == other)

    __hash__ = object.__hash__

    def in_(self, values: Iterable[V | None]) -> Condition:
        """Match any of the values; nothing when there are none."""
        operands = self._several(values)
        tokens = dict.fromkeys(
            self._encoded(self.field.codec.token, value) for value in operands if value is not None
        )
        conditions: list[Condition] = [HasToken(self.field, tuple(tokens))] if tokens else []
        if None in operands:
            conditions.append(self.is_none())
        return _any_of(conditions)


class TagColumn(_TokenColumn[V]):
    """A `Tag` field of one value."""

    __slots__ = ()

    declared = "Tag"

    def not_in(self, values: Iterable[V | None]) -> Condition:
        """Match every record whose value is none of these; every record when there are none."""
        return Not(self.in_(values))


class UniqueColumn(_TokenColumn[V]):
    """A `Unique` field."""

    __slots__ = ()

    declared = "Unique"


class MultiTagColumn(_NullableColumn[V]):
    """A `Tag` field of several values. `V` is the type of one of them."""

    __slots__ = ()

    declared = "Tag of several values"

    def _refuse(self, operation: str, cure: str) -> NoReturn:
        super()._refuse(operation, "use has(), has_any() or has_all()" if cure is _EQUALITY else cure)

    def __eq__(self, other: None) -> Condition:  # type: ignore[override]
        if other is not None:
            self._refuse("==", _EQUALITY)
        return self.is_none()

    def __ne__(self, other: None) -> Condition:  # type: ignore[override]
        return Not(self == other)

    __hash__ = object.__hash__

    def has(self, value: V) -> Condition:
        """Match the records that hold the value."""
        return HasToken(self.field, (self._token(value),))

    def has_any(self, values: Iterable[V]) -> Condition:
        """Match the records that hold at least one of the values; none when there are none."""
        tokens = dict.fromkeys(map(self._token, self._several(values)))
        return HasToken(self.field, tuple(tokens)) if tokens else Or(())

    def has_all(self, values: Iterable[V]) -> Condition:
        """Match the records that hold every one of the values; every record when there are none."""
        tokens = dict.fromkeys(map(self._token, self._several(values)))
        return And(tuple(HasToken(self.field, (token,)) for token in tokens))

    def _token(self, value: object) -> bytes:
        codec = self.field.member or self.field.codec
        token: bytes = self._encoded(codec.token, value)
        return token


class KeyColumn(_OrderedColumn[V]):
    """The primary key: equality, and order by code point, or numerically for integers."""

    __slots__ = ()

    declared = "Key"

    def __eq__(self, other: V | None) -> Condition:  # type: ignore[override]
        if other is None:
            return Or(())
        return KeyIn(self.field, (self._encoded(self.field.codec.member, other),))

    def __ne__(self, other: V | None) -> Condition:  # type: ignore[override]
        return Not(self == other)

    __hash__ = object.__hash__

    def in_(self, values: Iterable[V]) -> Condition:
        """Match any of the keys; nothing when there are none."""
        members = (self._encoded(self.field.codec.member, value) for value in self._several(values))
        unique = tuple(dict.fromkeys(members))
        return KeyIn(self.field, unique) if unique else Or(())


def column_of(schema: ModelSchema, field: FieldSpec) -> Column[Any]:
    """The column of a field, by the way it is indexed."""
    return _column_type(field)(schema, field)


def _column_type(field: FieldSpec) -> type[Column[Any]]:
    if field.kind is Kind.NUMBER and field.codec is DECIMAL:
        return DecimalColumn
    if field.kind is Kind.TAG and field.multiple:
        return MultiTagColumn
    return _TYPES[field.kind]


_TYPES: Final[dict[Kind, type[Column[Any]]]] = {
    Kind.STORED: UnindexedColumn,
    Kind.KEY: KeyColumn,
    Kind.NUMBER: RangeColumn,
    Kind.TEXT: TextColumn,
    Kind.TAG: TagColumn,
    Kind.UNIQUE: UniqueColumn,
}


def _any_of(conditions: Iterable[Condition]) -> Condition:
    different = tuple(dict.fromkeys(conditions))
    return different[0] if len(different) == 1 else Or(different)
