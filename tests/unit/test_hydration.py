"""The validators of a model: from stored texts to an instance, and over an instance's values again."""

from __future__ import annotations

import dataclasses
from collections import deque
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import (
    AfterValidator,
    Base64Str,
    BaseModel,
    ConfigDict,
    FutureDate,
    FutureDatetime,
    HttpUrl,
    Json,
    JsonValue,
    PositiveInt,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ArgsKwargs

from redisom_lite import Field, Key, Model, Range, Tag
from tests.unit.models import Color, Product, declared, hydrate, row

# Hydration: stored texts to an instance


def test_hydrated_record_equals_the_stored_one() -> None:
    record = Product(
        name="Mug",
        category="kitchen",
        tags={"a", "b"},
        price=Decimal("19.90"),
        released=datetime(2024, 5, 1),
        blurb="  as it is ",
    )
    loaded = hydrate(Product, row(record))
    assert loaded == record
    assert type(loaded) is Product
    assert loaded.model_fields_set == set(Product.__pydantic_fields__)


def test_absent_fields_take_their_defaults() -> None:
    class Note(Model):
        id: Key[int]
        tags: Tag[list[str]] = Field(default=["x"])
        made: str = Field(default_factory=lambda: "made")
        doubled: int = Field(default_factory=lambda data: data["id"] * 2)
        none: int | None = 5

    one, two = hydrate(Note, {"id": b"4"}), hydrate(Note, {"id": b"4", "none": None})
    assert (one.tags, one.made, one.doubled, one.none) == (["x"], "made", 8, 5)
    assert two.none is None
    assert one.tags is not two.tags
    assert one.model_fields_set == {"id"}


@pytest.mark.parametrize(
    "stored", [{"id": b"4"}, {"id": b"4", "count": b"s3cret"}, {"id": b"4", "count": None}]
)
def test_what_is_no_value_of_a_field_is_an_error_that_hides_it(stored: dict[str, bytes | None]) -> None:
    with pytest.raises(ValidationError) as caught:
        hydrate(declared(count=int), stored)
    assert caught.value.errors()[0]["loc"] == ("count",)
    assert "s3cret" not in str(caught.value)


def test_what_is_no_value_in_a_row_is_an_error_that_tells_its_place_and_hides_it() -> None:
    with pytest.raises(ValidationError) as caught:
        declared(count=int).__redisom_schema__.row_hydrator.validate_python(ArgsKwargs((b"4", b"s3cret")))
    assert caught.value.errors()[0]["loc"] == (1,)
    assert "s3cret" not in str(caught.value)


def test_hydration_runs_no_validator_and_heeds_no_config() -> None:
    class Note(Model):
        model_config = ConfigDict(str_strip_whitespace=True, str_to_upper=True, strict=True)
        id: Key[int]
        name: Annotated[str, AfterValidator(str.title)] = Field(alias="Name", max_length=2)
        positive: PositiveInt = 1

        @field_validator("*")
        @classmethod
        def never(cls, value: object) -> object:
            raise AssertionError

        @model_validator(mode="before")
        @classmethod
        def nor_this(cls, value: object) -> object:
            raise AssertionError

        @model_validator(mode="wrap")
        @classmethod
        def nor_that(cls, value: object, handler: Any) -> Any:
            raise AssertionError

        @model_validator(mode="after")
        def nor_those(self) -> Note:
            raise AssertionError

    loaded = hydrate(Note, {"id": b"4", "name": b" ab cd ", "positive": b"-3"})
    assert (loaded.name, loaded.positive) == (" ab cd ", -3)


def test_hydration_initialises_private_attributes_and_runs_post_init() -> None:
    class Note(Model):
        id: Key[int]
        _seen: list[int] = PrivateAttr(default_factory=list)
        _double: int

        def model_post_init(self, context: Any, /) -> None:
            self._double = self.id * 2

        def __init__(self, **data: Any) -> None:
            raise AssertionError

    loaded = hydrate(Note, {"id": b"4"})
    assert (loaded._seen, loaded._double) == ([], 8)


def test_frozen_models_and_models_with_extra_fields_hydrate() -> None:
    class Frozen(Model):
        model_config = ConfigDict(frozen=True, extra="forbid")
        id: Key[int]

    class Open(Model):
        model_config = ConfigDict(extra="allow")
        id: Key[int]

    assert hydrate(Frozen, {"id": b"4"}) == Frozen(id=4)
    assert hash(hydrate(Frozen, {"id": b"4"})) == hash(Frozen(id=4))
    loaded = hydrate(Open, {"id": b"4"})
    assert loaded == Open(id=4)
    loaded.anything = 5
    assert loaded.model_extra == {"anything": 5}


def test_hydration_gives_enum_values_where_the_model_keeps_them() -> None:
    class Note(Model):
        model_config = ConfigDict(use_enum_values=True)
        id: Key[int]
        color: Tag[Color]

    record = Note(id=1, color=Color.RED)
    assert hydrate(Note, row(record)) == record
    assert hydrate(Note, row(record)).__dict__["color"] == "red"


def test_hydration_heeds_the_default_of_a_subclass() -> None:
    class Sub(Product):
        stock: Range[int] = Field(default=7)

    stored = row(Product(name="n", category="c", price=Decimal(1)))
    del stored["stock"]
    assert (hydrate(Product, stored).stock, hydrate(Sub, stored).stock) == (0, 7)


# The checker: an instance's values against what was declared


def check(record: Model) -> Any:
    return type(record).__redisom_schema__.checker.validate_python(record.__dict__)


def test_checker_gives_the_values_of_a_valid_record() -> None:
    record = Product(name="n", category="c", price=Decimal(1))
    assert check(record) == record.__dict__
    assert check(record) is not record.__dict__


def test_checker_refuses_what_assignment_let_through_and_hides_it() -> None:
    record: Any = Product(name="n", category="c", price=Decimal(1))
    record.price = Decimal(-1)
    record.stock = "s3cret"
    record.blurb = None
    with pytest.raises(ValidationError) as caught:
        check(record)
    assert {error["loc"][0] for error in caught.value.errors()} == {"price", "stock", "blurb"}
    assert "s3cret" not in str(caught.value)
    assert caught.value.title == "Product"


def test_checker_runs_no_user_validator_and_heeds_neither_alias_nor_cached_property() -> None:
    from functools import cached_property

    def never(value: object) -> object:
        raise AssertionError

    class Note(Model):
        model_config = ConfigDict(alias_generator=str.upper, extra="forbid")
        id: Key[int]
        name: Annotated[str, AfterValidator(never)] = Field(default="x", alias="n")
        parts: list[Annotated[str, AfterValidator(never)]] = Field(default_factory=list)

        @cached_property
        def slow(self) -> int:
            return 1

        @field_validator("name")
        @classmethod
        def nor_this(cls, value: object) -> object:
            raise AssertionError

    note: Any = Note(ID=1)  # type: ignore[call-arg]
    note.parts = ["a"]
    assert note.slow == 1
    assert check(note) == {"id": 1, "name": "x", "parts": ["a"]}


def test_checker_accepts_nested_and_self_referring_models_as_they_are() -> None:
    class Node(Model):
        id: Key[int]
        children: list[Node] = Field(default_factory=list)

    leaf = Node(id=2)
    assert check(Node(id=1, children=[leaf]))["children"][0] is leaf


def test_checker_accepts_what_input_only_was_encoded_or_in_the_future() -> None:
    class Note(Model):
        id: Key[int]
        parsed: Json[list[int]]
        decoded: Base64Str
        due: Range[FutureDate]
        many: list[FutureDatetime | None] = Field(default_factory=list)

    note = Note.model_construct(
        id=1, parsed=[1], decoded="plain", due=date(2000, 1, 1), many=[datetime(2000, 1, 1), None]
    )
    assert check(note) == note.__dict__
    assert hydrate(Note, row(note)) == note


def test_stored_fields_of_many_types_come_back_as_they_were() -> None:
    @dataclasses.dataclass
    class Point:
        x: int

    class Inner(BaseModel):
        value: Annotated[int, AfterValidator(lambda value: value + 1)]

    class Note(Model):
        id: Key[int]
        point: Point = Point(1)
        inner: Inner | None = None
        inners: dict[str, list[Inner]] = Field(default_factory=dict)
        anything: Any = None
        json_value: JsonValue = None
        secret: SecretStr = SecretStr("s")
        url: HttpUrl | None = None
        path: Path = Path("/tmp")
        raw: bytes = b"\xff\0"
        several: tuple[int, str] | None = (1, "a")
        prices: dict[str, Decimal] = Field(default_factory=lambda: {"a": Decimal("1.10")})
        recent: deque[int] = Field(default_factory=lambda: deque([1]))

    note = Note(
        id=1,
        inner=Inner(value=1),
        inners={"a": [Inner(value=2)]},
        json_value={"a": [1, None]},
        url=HttpUrl("http://example.org"),
    )
    loaded = hydrate(Note, row(note))
    assert loaded == note
    assert [type(value) for value in vars(loaded).values()] == [type(value) for value in vars(note).values()]
