"""Columns: the conditions that their operators build, and what they refuse."""

# ruff: noqa: SIM300 - which operand stands where is what is tested

from __future__ import annotations

import enum
import operator
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest

from redisom_lite import Field, Key, Model, Range, Tag, Unique
from redisom_lite.codec.score import score_of
from redisom_lite.columns import (
    DecimalColumn,
    KeyColumn,
    MultiTagColumn,
    RangeColumn,
    TagColumn,
    TextColumn,
    UniqueColumn,
)
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
from redisom_lite.schema.model_schema import FieldSpec


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Product(Model):
    sku: Key[str]
    name: Range[str | None]
    category: Tag[str | None]
    tags: Tag[set[str] | None]
    price: Range[Decimal | None]
    stock: Range[int]
    weight: Range[float]
    level: Range[Level]
    color: Tag[Color]
    active: Tag[bool]
    kind: Tag[Literal["a", "b"]]
    made: Range[datetime]
    day: Range[date]
    at: Range[time]
    took: Range[timedelta]
    ean: Unique[str | None]
    owner: Unique[UUID]
    blurb: str = ""


class Numbered(Model):
    id: Key[int]
    value: Range[int] = Field(default=0)


def spec(name: str) -> FieldSpec:
    return Product.__redisom_schema__.by_name[name]


def number(value: Any) -> Any:
    return score_of(value)


def refused(build: Callable[[], object]) -> str:
    with pytest.raises(QueryError) as caught:
        build()
    return str(caught.value)


# Range


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Product.stock == 5, NumberRange(spec("stock"), number(5), number(5))),
        (Product.stock < 5, NumberRange(spec("stock"), None, number(5), high_open=True)),
        (Product.stock <= 5, NumberRange(spec("stock"), None, number(5))),
        (Product.stock > 5, NumberRange(spec("stock"), number(5), None, low_open=True)),
        (Product.stock >= 5, NumberRange(spec("stock"), number(5), None)),
        (Product.stock != 5, Not(NumberRange(spec("stock"), number(5), number(5)))),
        (Product.name == "x", TextRange(spec("name"), b"x", b"x")),
        (Product.name < "é", TextRange(spec("name"), None, "é".encode(), high_open=True)),
        (Product.name >= "x", TextRange(spec("name"), b"x", None)),
        (Product.name.startswith("x"), TextPrefix(spec("name"), b"x")),
        (Product.price == None, IsNone(spec("price"))),  # noqa: E711
        (Product.price != None, Not(IsNone(spec("price")))),  # noqa: E711
        (Product.price.is_none(), IsNone(spec("price"))),
        (Product.stock.is_none(), IsNone(spec("stock"))),
    ],
)
def test_range_operators_build_ranges(condition: Condition, expected: Condition) -> None:
    assert condition == expected


@pytest.mark.parametrize(
    ("bounds", "low_open", "high_open"),
    [("[]", False, False), ("[)", False, True), ("(]", True, False), ("()", True, True)],
)
def test_between_excludes_the_ends_its_bounds_say(bounds: Any, low_open: bool, high_open: bool) -> None:
    condition = Product.stock.between(1, 2, bounds=bounds)
    assert condition == NumberRange(spec("stock"), number(1), number(2), low_open, high_open)


def test_between_includes_both_ends_by_default() -> None:
    assert Product.stock.between(1, 2) == Product.stock.between(1, 2, bounds="[]")


def test_in_is_any_of_its_points() -> None:
    five, six = Product.stock == 5, Product.stock == 6
    assert Product.stock.in_([5, 6, 5]) == Or((five, six))
    assert Product.stock.in_(iter([5])) == five
    assert Product.price.in_([Decimal(5), None]) == Or((Product.price == 5, IsNone(spec("price"))))
    assert Product.name.in_({"x"}) == (Product.name == "x")


@pytest.mark.parametrize(
    ("swapped", "condition"),
    [
        (5 < Product.stock, Product.stock > 5),
        (5 <= Product.stock, Product.stock >= 5),
        (5 > Product.stock, Product.stock < 5),
        (5 >= Product.stock, Product.stock <= 5),
        (5 == Product.stock, Product.stock == 5),
        (5 != Product.stock, Product.stock != 5),
        (Decimal(5) < Product.price, Product.price > Decimal(5)),
        (datetime(2024, 1, 1) < Product.made, Product.made > datetime(2024, 1, 1)),
        (date(2024, 1, 1) < Product.day, Product.day > date(2024, 1, 1)),
        (timedelta(1) < Product.took, Product.took > timedelta(1)),
        (5.5 < Product.weight, Product.weight > 5.5),
        (Product.name > "x", "x" < Product.name),
        ("x" == Product.category, Product.category == "x"),
    ],
)
def test_operands_may_be_swapped(swapped: Condition, condition: Condition) -> None:
    assert swapped == condition


def test_int_is_accepted_where_float_or_decimal_is_declared() -> None:
    assert (Product.price < 5) == NumberRange(spec("price"), None, number(5), high_open=True)
    assert (Product.weight < 5) == NumberRange(spec("weight"), None, number(5), high_open=True)


# Tag, Unique, Key


def test_tag_operators_build_token_sets() -> None:
    category = spec("category")
    assert (Product.category == "a") == HasToken(category, (b"a",))
    assert (Product.category != "a") == Not(HasToken(category, (b"a",)))
    assert Product.category.in_(["a", "b", "a"]) == HasToken(category, (b"a", b"b"))
    assert Product.category.in_(["a", None]) == Or((HasToken(category, (b"a",)), IsNone(category)))
    assert Product.category.in_([None]) == IsNone(category)
    assert Product.category.not_in(["a"]) == Not(HasToken(category, (b"a",)))
    assert (Product.category == None) == Product.category.is_none() == IsNone(category)  # noqa: E711
    assert (Product.color == Color.RED) == HasToken(spec("color"), (b"red",))
    assert (Product.active == True) == HasToken(spec("active"), (b"1",))  # noqa: E712


def test_multi_valued_tag_asks_for_members() -> None:
    tags = spec("tags")
    assert Product.tags.has("a") == HasToken(tags, (b"a",))
    assert Product.tags.has_any(["a", "b", "a"]) == HasToken(tags, (b"a", b"b"))
    assert Product.tags.has_all(("a", "b")) == And((HasToken(tags, (b"a",)), HasToken(tags, (b"b",))))
    assert (Product.tags == None) == Product.tags.is_none() == IsNone(tags)  # noqa: E711
    assert (Product.tags != None) == Not(IsNone(tags))  # noqa: E711


def test_unique_operators_build_token_sets() -> None:
    owner = UUID(int=1)
    assert (Product.ean == "a") == HasToken(spec("ean"), (b"a",))
    assert (Product.ean != "a") == Not(HasToken(spec("ean"), (b"a",)))
    assert Product.ean.in_(["a", None]) == Or((HasToken(spec("ean"), (b"a",)), IsNone(spec("ean"))))
    assert Product.ean.is_none() == IsNone(spec("ean"))
    assert (Product.owner == owner) == HasToken(spec("owner"), (str(owner).encode(),))


def test_key_operators_build_member_sets() -> None:
    sku, identity = spec("sku"), Numbered.__redisom_schema__.key
    assert (Product.sku == "a") == KeyIn(sku, (b"a",))
    assert (Product.sku != "a") == Not(KeyIn(sku, (b"a",)))
    assert Product.sku.in_(["a", "b", "a"]) == KeyIn(sku, (b"a", b"b"))
    assert (Numbered.id == 42) == KeyIn(identity, (identity.codec.member(42),))
    assert (Product.sku == None) == Or(())  # type: ignore[comparison-overlap]  # noqa: E711


def test_empty_iterables_mean_nothing_or_everything() -> None:
    nothing, everything = Or(()), And(())
    columns: list[Any] = [Product.stock, Product.name, Product.category, Product.ean, Product.sku]
    for column in columns:
        assert column.in_([]) == nothing
    assert Product.category.not_in([]) == Not(nothing)
    assert Product.tags.has_any([]) == nothing
    assert Product.tags.has_all([]) == everything


def test_terms_order_by_range_and_key() -> None:
    assert Product.stock.asc() == Term(spec("stock"))
    assert Product.name.desc() == Term(spec("name"), descending=True)
    assert Product.sku.desc() == Term(spec("sku"), descending=True)


# What is refused


@pytest.mark.parametrize(
    "build",
    [
        lambda: Product.stock == "s3cret",
        lambda: Product.stock < 5.5,
        lambda: Product.stock < True,
        lambda: Product.price < 5.5,
        lambda: Product.price < "s3cret",
        lambda: Product.weight < Decimal("5.5"),
        lambda: Product.made < date(2024, 1, 1),
        lambda: Product.day < datetime(2024, 1, 1),
        lambda: Product.at < 5,
        lambda: Product.name == b"s3cret",
        lambda: Product.name.startswith(5),  # type: ignore[arg-type]
        lambda: Product.category == 5,
        lambda: Product.category.in_(["a", 5]),  # type: ignore[list-item]
        lambda: Product.color == "red",
        lambda: Product.active == 1,
        lambda: Product.kind == "s3cret",
        lambda: Product.owner == "00000000-0000-0000-0000-000000000001",
        lambda: Product.sku == 5,
        lambda: Product.sku.in_(["a", None]),  # type: ignore[list-item]
        lambda: Product.tags.has(5),  # type: ignore[arg-type]
        lambda: Product.tags.has_all([None]),  # type: ignore[list-item]
        lambda: Product.stock == Product.stock,
        lambda: Numbered.id == "5",
    ],
)
def test_operand_of_the_wrong_type_is_refused_without_showing_it(build: Callable[[], object]) -> None:
    message = refused(build)
    assert "cannot be compared" in message
    assert message.startswith(("Product.", "Numbered.id"))
    assert "s3cret" not in message


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_ordering_against_none_is_refused_with_the_cure(compare: Callable[[Any, Any], object]) -> None:
    assert "Product.price.is_none()" in refused(lambda: compare(Product.price, None))
    assert "Product.name.is_none()" in refused(lambda: compare(Product.name, None))


def test_none_as_a_bound_or_a_prefix_is_refused() -> None:
    price: Any = Product.price
    name: Any = Product.name
    for build in (
        lambda: price.between(None, 5),
        lambda: price.between(5, None),
        lambda: name.startswith(None),
    ):
        assert "is_none()" in refused(build)


@pytest.mark.parametrize("value", [float("nan"), -float("nan")])
def test_nan_is_refused(value: float) -> None:
    assert "NaN" in refused(lambda: Product.weight == value)
    assert "NaN" in refused(lambda: Product.price < Decimal("nan"))


@pytest.mark.parametrize("bounds", ["", "[", "[[", "closed", None, 5, []])
def test_unknown_bounds_are_refused(bounds: Any) -> None:
    assert "bounds" in refused(lambda: Product.stock.between(1, 2, bounds=bounds))


@pytest.mark.parametrize("values", ["abc", b"abc", 5, None])
def test_methods_of_several_values_take_one_iterable(values: Any) -> None:
    columns: list[Callable[[Any], object]] = [
        Product.stock.in_,
        Product.name.in_,
        Product.category.in_,
        Product.category.not_in,
        Product.ean.in_,
        Product.sku.in_,
        Product.tags.has_any,
        Product.tags.has_all,
    ]
    for method in columns:
        assert "one iterable" in refused(lambda method=method: method(values))


def test_equality_on_a_multi_valued_tag_names_has() -> None:
    tags: Any = Product.tags
    for build in (lambda: tags == {"a"}, lambda: tags != "a", lambda: tags.in_(["a"])):
        assert "has" in refused(build)


@pytest.mark.parametrize(
    ("build", "cure"),
    [
        (lambda c: c.category < "a", "Range[...]"),
        (lambda c: "a" < c.category, "Range[...]"),
        (lambda c: c.category.between("a", "b"), "Range[...]"),
        (lambda c: c.category.asc(), "Range[...]"),
        (lambda c: c.category.startswith("a"), "Range[str]"),
        (lambda c: c.category.has("a"), "Tag[set[...]]"),
        (lambda c: c.ean >= "a", "Range[...]"),
        (lambda c: c.ean.desc(), "Range[...]"),
        (lambda c: c.ean.not_in(["a"]), "~"),
        (lambda c: c.stock.startswith("a"), "Range[str]"),
        (lambda c: c.stock.has_any([1]), "Tag[set[...]]"),
        (lambda c: c.stock.not_in([1]), "~"),
        (lambda c: c.tags < {"a"}, "Range[...]"),
        (lambda c: c.sku < "a", "Range[...]"),
    ],
)
def test_operation_that_a_column_lacks_is_refused_with_the_cure(
    build: Callable[[Any], object], cure: str
) -> None:
    assert cure in refused(lambda: build(Product))


@pytest.mark.parametrize(
    "build",
    [
        lambda c: c == "x",
        lambda c: c != "x",
        lambda c: c == None,  # noqa: E711
        lambda c: c < "x",
        lambda c: "x" <= c,
        lambda c: c > "x",
        lambda c: c >= "x",
        lambda c: c.in_(["x"]),
        lambda c: c.not_in(["x"]),
        lambda c: c.is_none(),
        lambda c: c.between("a", "b", bounds="[)"),
        lambda c: c.startswith("x"),
        lambda c: c.has("x"),
        lambda c: c.has_any(["x"]),
        lambda c: c.has_all(["x"]),
        lambda c: c.asc(),
        lambda c: c.desc(),
    ],
)
def test_unindexed_field_refuses_every_use_with_the_cure(build: Callable[[Any], object]) -> None:
    with pytest.raises(UnindexedFieldError) as caught:
        build(Product.blurb)
    assert str(caught.value).startswith("Product.blurb has no index")
    assert "Range[...]" in str(caught.value)
    assert "Tag[...]" in str(caught.value)


# What a column is


def test_columns_are_hashable_named_and_know_their_schema() -> None:
    columns: list[Any] = [getattr(Product, name) for name in Product.__pydantic_fields__]
    assert len(set(columns)) == len(columns)
    assert repr(Product.price) == "Product.price"
    assert Product.price.schema is Product.__redisom_schema__
    assert Product.price.field is spec("price")


def test_columns_are_of_the_type_that_checkers_see() -> None:
    assert type(Product.price) is DecimalColumn
    assert type(Product.stock) is RangeColumn
    assert type(Product.name) is TextColumn
    assert type(Product.tags) is MultiTagColumn
    assert type(Product.category) is TagColumn
    assert type(Product.ean) is UniqueColumn
    assert type(Product.sku) is KeyColumn


def test_conditions_have_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"& \| ~"):
        bool(Product.stock == 5)
    with pytest.raises(TypeError):
        1 < Product.stock < 5  # type: ignore[operator]
