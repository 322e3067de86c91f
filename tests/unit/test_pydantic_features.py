"""A model stays a pydantic model."""

from __future__ import annotations

import inspect
import pydoc
import typing
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    ValidationError,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)

from redisom_lite import Field, Key, Model, Range, Tag, Unique
from redisom_lite.columns import MultiTagColumn, TagColumn, TextColumn
from tests.unit.models import Product


def test_marks_leave_no_trace_in_the_json_schema() -> None:
    class Plain(BaseModel):
        id: int
        name: str = Field(min_length=1)
        tags: set[str] = Field(default_factory=set)
        released: datetime | None = None

    class Marked(Model):
        id: Key[int]
        name: Range[str] = Field(min_length=1)
        tags: Tag[set[str]] = Field(default_factory=set)
        released: Range[datetime | None] = Field(default=None)

    assert Marked.model_json_schema() | {"title": "Plain"} == Plain.model_json_schema()
    expected = Plain.model_json_schema(mode="serialization")
    assert Marked.model_json_schema(mode="serialization") | {"title": "Plain"} == expected


def test_validators_constraints_aliases_and_computed_fields_work() -> None:
    class User(Model):
        model_config = ConfigDict(validate_assignment=True, str_strip_whitespace=True)
        id: Key[int]
        email: Unique[str] = Field(alias="e-mail")
        age: Range[int] = Field(ge=0)
        _cache: dict[str, int] = PrivateAttr(default_factory=dict)

        @field_validator("email")
        @classmethod
        def lower(cls, value: str) -> str:
            return value.lower()

        @model_validator(mode="after")
        def adult(self) -> User:
            if self.age == 13:
                raise ValueError("unlucky")
            return self

        @computed_field  # type: ignore[prop-decorator]
        @property
        def domain(self) -> str:
            return self.email.partition("@")[2]

        @field_serializer("age")
        def as_text(self, value: int) -> str:
            return str(value)

    user = User.model_validate({"id": 1, "e-mail": " A@B.c ", "age": 3})
    assert user.model_dump() == {"id": 1, "email": "a@b.c", "age": "3", "domain": "b.c"}
    assert user.model_dump(by_alias=True)["e-mail"] == "a@b.c"
    assert user._cache == {}
    assert repr(user) == "User(id=1, email='a@b.c', age=3, domain='b.c')"
    for age in (-1, 13):
        with pytest.raises(ValidationError):
            user.age = age


def test_validation_errors_hide_their_input() -> None:
    with pytest.raises(ValidationError) as caught:
        Product(name="", category="c", price=Decimal(1))
    assert "input_value" not in str(caught.value)


def test_type_hints_of_a_model_can_be_asked_for() -> None:
    hints = typing.get_type_hints(Product, include_extras=True)
    assert typing.get_type_hints(Product)["price"] is Decimal
    assert typing.get_args(hints["price"])[0] is Decimal


def test_class_attributes_that_are_no_fields_are_missing_as_usual() -> None:
    assert not hasattr(Product, "nothing")


def test_model_made_with_create_model_is_like_any_other() -> None:
    made: Any = create_model("Made", __base__=Product, extra_field=(Tag[str], ...))
    assert isinstance(made.extra_field, TagColumn)
    assert isinstance(made.tags, MultiTagColumn)
    assert isinstance(made.name, TextColumn)


def test_pk_is_the_value_of_the_key_field() -> None:
    class Note(Model):
        code: Key[UUID]

    identity = uuid4()
    assert Note(code=identity).pk == identity
    assert Product(sku="x", name="n", category="c", price=Decimal(1)).pk == "x"


def test_subclass_hooks_get_their_class_keywords() -> None:
    seen: list[str] = []

    class Base(Model, abstract=True):
        def __init_subclass__(cls, color: str = "", **options: Any) -> None:
            super().__init_subclass__(**options)
            seen.append(color)

    class Note(Base, color="red"):
        id: Key[int]

    assert seen == ["red"]


def test_help_and_inspection_work_for_models_and_abstract_bases() -> None:
    class Base(Model, abstract=True):
        value: Range[int]

    assert "class Product" in pydoc.render_doc(Product)
    assert inspect.getmembers(Base)
    assert not hasattr(Base, "value")
    assert "sku: Annotated[str, Key]" in str(inspect.signature(Product)).replace("typing.", "")
