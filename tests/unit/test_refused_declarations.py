"""Declarations that cannot work: each is refused when the class is made, with model, field and cure."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    RootModel,
    create_model,
)

from redisom_lite import Composite, Field, Key, Manager, Meta, Model, Range, Tag, Unique
from tests.unit.models import Color, Opaque, Product, declared, refused


def test_no_key_is_refused() -> None:
    def declare() -> None:
        class Note(Model):
            text: str

    assert "Note has no key" in refused(declare)
    assert "abstract=True" in refused(declare)


def test_two_keys_are_refused() -> None:
    assert "Note has more than one key, id and code" in refused(lambda: declared(code=Key[str]))


def test_nullable_key_is_refused() -> None:
    def declare() -> None:
        class Note(Model):
            id: Key[int | None]

    assert "Note.id is the key" in refused(declare)


@pytest.mark.parametrize(
    "annotation",
    [
        Range[list[int]],
        Range[UUID],
        Range[Color],
        Range[int | str],
        Range[BaseModel],
        Tag[float],
        Tag[Decimal],
        Tag[datetime],
        Tag[set[float]],
        Tag[dict[str, int]],
        Tag[tuple[int, str]],
        Tag[list[list[str]]],
        Unique[float],
        Unique[set[str]],
        Key[float],
        Key[bool],
        Key[Color],
    ],
)
def test_type_that_cannot_be_indexed_so_is_refused(annotation: Any) -> None:
    message = refused(lambda: declared(value=annotation))
    assert message.startswith("Note.value has a type that cannot be indexed so: a ")


def test_type_that_cannot_be_stored_is_refused() -> None:
    def declare() -> None:
        class Note(Model):
            model_config = ConfigDict(arbitrary_types_allowed=True)
            id: Key[int]
            value: Opaque

    assert "Note.value has a type that cannot be stored" in refused(declare)


def test_type_that_pydantic_does_not_know_is_refused() -> None:
    def declare() -> None:
        class Note(Model):
            id: Key[int]
            text: str
            value: Range[Opaque]

    assert "Note.value has a type that pydantic does not know" in refused(declare)


@pytest.mark.parametrize("annotation", [Tag[str] | None, list[Tag[str]], dict[str, Range[int]]])
def test_mark_inside_of_another_type_is_refused(annotation: Any) -> None:
    message = refused(lambda: declared(value=annotation))
    assert "Note.value has" in message
    assert "outermost" in message


def test_two_marks_are_refused() -> None:
    assert refused(lambda: declared(value=Tag[Range[int]])) == (
        "Note.value is declared Range and Tag at once: choose one"
    )


@pytest.mark.parametrize("mark", [Key, Range, Tag, Unique])
def test_mark_without_a_type_or_with_two_is_refused(mark: Any) -> None:
    assert f"{mark.__name__}[str]" in refused(lambda: declared(value=mark))
    assert "takes one type" in refused(lambda: mark[int, str])


@pytest.mark.parametrize("option", ["prefix", "group"])
@pytest.mark.parametrize("name", ["", "a{b", "a}b", "{ab}"])
def test_prefix_and_group_that_are_empty_or_hold_a_brace_are_refused(option: str, name: str) -> None:
    def declare() -> None:
        class Note(Model):
            meta = Meta(**{option: name})  # type: ignore[arg-type]
            id: Key[int]

    assert f"Note has a Meta whose {option}" in refused(declare)


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": 5},
        {"group": b"x"},
        {"partitions": 0},
        {"partitions": -1},
        {"partitions": "3"},
        {"partitions": True},
        {"evictable": 1},
        {"versioned": None},
        {"indexes": "ab"},
        {"indexes": [("category", "price")]},
        {"indexes": Composite("a", "b")},
    ],
)
def test_option_of_the_wrong_kind_is_refused(options: dict[str, Any]) -> None:
    def declare() -> None:
        class Note(Model):
            meta = Meta(**options)
            id: Key[int]
            a: Tag[str]
            b: Range[int]

    assert next(iter(options)) in refused(declare)


def test_meta_that_is_no_meta_is_refused() -> None:
    def declare() -> None:
        class Note(Model):
            meta = {"prefix": "x"}  # type: ignore[assignment]  # noqa: RUF012
            id: Key[int]

    assert "Note.meta is no Meta" in refused(declare)


@pytest.mark.parametrize(
    ("composite", "why"),
    [
        (Composite("nothing", "price"), "names 'nothing'"),
        (Composite("category", "nothing"), "names 'nothing'"),
        (Composite("blurb", "price"), "Note.blurb is part of a Composite"),
        (Composite("category", "blurb"), "Note.blurb is part of a Composite"),
        (Composite("price", "category"), "Note.price is part of a Composite"),
        (Composite("ean", "price"), "Note.ean is part of a Composite"),
        (Composite("category", "title"), "Note.title is part of a Composite"),
    ],
)
def test_composite_of_the_wrong_fields_is_refused(composite: Composite, why: str) -> None:
    def declare() -> None:
        class Note(Model):
            meta = Meta(indexes=[composite])
            id: Key[int]
            category: Tag[str]
            title: Range[str]
            price: Range[int]
            ean: Unique[str]
            blurb: str

    assert why in refused(declare)


def test_composite_declared_twice_is_refused() -> None:
    def declare() -> None:
        class Note(Model):
            meta = Meta(indexes=[Composite("a", "b"), Composite("a", "b")])
            id: Key[int]
            a: Tag[str]
            b: Range[int]

    assert "twice" in refused(declare)


@pytest.mark.parametrize("db", ["redis://localhost", object()])
def test_database_that_is_none_is_refused(db: Any) -> None:
    def declare() -> None:
        class Note(Model):
            meta = Meta(db=db)
            id: Key[int]

    assert "takes a Database" in refused(declare)


@pytest.mark.parametrize("options", [{"evictable": True}, {"partitions": 2}])
def test_unique_field_of_an_evictable_or_partitioned_model_is_refused(options: dict[str, Any]) -> None:
    def declare() -> None:
        class Note(Model):
            meta = Meta(**options)
            id: Key[int]
            email: Unique[str]

    assert "Note.email is Unique" in refused(declare)
    assert next(iter(options)) in refused(declare)


@pytest.mark.parametrize(
    "annotation",
    [Tag[Literal[1, "1"]], Tag[list[Literal[1, "1"]]], Unique[Literal[1, "1"]], Tag[Literal[1, "1"] | None]],
)
def test_choices_that_share_a_token_are_refused(annotation: Any) -> None:
    assert refused(lambda: declared(kind=annotation)) == (
        "Note.kind has choices that would share one index entry, 1 and '1': change or drop one of them"
    )


@pytest.mark.parametrize(
    "name",
    [
        "save", "insert", "update", "inc", "delete", "refresh", "ttl", "expire", "extend", "persist",
        "pk", "meta", "objects", "model_dump", "model_fields",
    ],
)  # fmt: skip
def test_field_that_hides_a_name_of_model_is_refused(name: str) -> None:
    message = refused(lambda: declared(**{name: str}))
    assert message.startswith(f"Note.{name} hides a method or attribute of the model: rename it")


def test_field_that_hides_a_method_is_refused_whichever_class_brings_it() -> None:
    class Saves(BaseModel):
        save: bool

    class Sums(Product):
        def total(self) -> int:
            return 1

    def with_mixin() -> None:
        class Note(Saves, Model):  # type: ignore[misc]
            id: Key[int]

    def with_method() -> None:
        class Sub(Sums):
            total: int  # type: ignore[assignment]

    assert "Note.save hides" in refused(with_mixin)
    assert "Sub.total hides" in refused(with_method)


def test_manager_annotated_like_a_field_is_refused() -> None:
    def declare() -> None:
        class Note(Model):
            id: Key[int]
            short: Manager[Any] = Manager(ttl=5)

    assert "Note.short is annotated like a field" in refused(declare)


def test_root_model_is_refused() -> None:
    def declare() -> None:
        class Note(RootModel[int], Model):  # type: ignore[misc]
            pass

    assert "Note is a RootModel" in refused(declare)


def test_no_message_shows_a_default() -> None:
    def declare() -> None:
        class Note(Model):
            id: Key[int]
            value: Range[list[str]] = Field(default=["s3cret"])

    assert "s3cret" not in refused(declare)


@pytest.mark.parametrize("annotation", [Key[str], Tag[str], Range[int], Unique[str]])
def test_lifetime_of_an_indexed_field_is_refused(annotation: Any) -> None:
    fields: dict[str, Any] = {"code": (annotation, Field(default="1", ttl=5))}
    assert "Note.code is indexed" in refused(
        lambda: create_model("Note", __base__=Model, id=(Key[int], ...), **fields)
    )


def test_lifetime_of_a_field_without_a_default_is_refused() -> None:
    def declare() -> None:
        class Note(Model):
            id: Key[int]
            code: str = Field(ttl=5)

    assert "Note.code has a lifetime and no default" in refused(declare)


def test_lifetime_of_a_field_that_may_be_none_by_another_default_is_refused() -> None:
    def declare() -> None:
        class Note(Model):
            id: Key[int]
            code: str | None = Field(default="x", ttl=5)

    assert "Note.code has a lifetime and may be None" in refused(declare)


@pytest.mark.parametrize("ttl", [0, -1, "soon", float("nan"), True])
def test_lifetime_of_a_field_that_is_none_is_refused(ttl: Any) -> None:
    assert "Field(ttl=...)" in refused(lambda: Field(default=1, ttl=ttl))
