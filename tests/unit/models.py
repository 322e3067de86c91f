"""Models and helpers that the tests of declaring share."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import create_model
from pydantic_core import ArgsKwargs

from redisom_lite import Composite, Field, Key, Meta, Model, Range, Tag, Unique, new_id
from redisom_lite.errors import DeclarationError
from redisom_lite.schema.model_schema import FieldSpec


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Opaque:
    """Nothing that pydantic knows."""


class Product(Model):
    meta = Meta(prefix="shop:product", indexes=[Composite("category", "price")])

    sku: Key[str] = Field(default_factory=new_id)
    name: Range[str] = Field(min_length=1)
    category: Tag[str] = Field()
    tags: Tag[set[str]] = Field(default_factory=set)
    price: Range[Decimal] = Field(ge=0)
    stock: Range[int] = Field(default=0)
    released: Range[datetime | None] = Field(default=None)
    ean: Unique[str | None] = Field(default=None)
    blurb: str = ""


def field(model: type[Model], name: str) -> FieldSpec:
    return model.__redisom_schema__.by_name[name]


def declared(**fields: Any) -> type[Model]:
    """A model `Note` with a key and these fields."""
    return create_model(
        "Note", __base__=Model, id=(Key[int], ...), **{k: (v, ...) for k, v in fields.items()}
    )


def refused(declare: Callable[[], object]) -> str:
    """The message of the DeclarationError that a declaration raises, and not so much as a warning before."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeclarationError) as caught:
            declare()
    return str(caught.value)


def row(record: Model) -> dict[str, bytes | None]:
    """What is stored of a valid record."""
    schema = type(record).__redisom_schema__
    values = schema.checker.validate_python(record.__dict__)
    return {
        spec.name: None if values[spec.name] is None else spec.codec.encode(values[spec.name])
        for spec in schema.fields
    }


def hydrate(model: type[Model], stored: dict[str, bytes | None]) -> Any:
    """The instance that stored texts stand for; of a whole row both validators make the same."""
    schema = model.__redisom_schema__
    made = schema.hydrator.validate_python(stored)
    if stored.keys() != schema.by_name.keys():
        return made
    read = schema.row_hydrator.validate_python(ArgsKwargs(tuple(stored[spec.name] for spec in schema.fields)))
    slots = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
    assert [getattr(read, slot) for slot in slots] == [getattr(made, slot) for slot in slots]
    return read
