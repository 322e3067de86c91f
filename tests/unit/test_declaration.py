"""Declaring models: what a class body becomes, with bases, generics and forward references."""

from __future__ import annotations

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Generic, Literal, NewType, TypeVar
from uuid import UUID

import pytest
from annotated_types import Ge, Le
from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    PositiveInt,
    create_model,
)
from typing_extensions import TypeAliasType

from redisom_lite import Database, Field, Key, Manager, Meta, Model, Range, Tag, Unique
from redisom_lite.columns import RangeColumn, TagColumn
from redisom_lite.schema.declaration import snake_case
from redisom_lite.schema.model_schema import Bounds, CompositeSpec, Kind
from tests.unit.models import Color, Level, Product, declared, field, hydrate, refused, row

T = TypeVar("T")


# What a class body becomes


def test_schema_of_the_example_holds_what_was_declared() -> None:
    schema = Product.__redisom_schema__
    assert (schema.model, schema.prefix, schema.key.name) == ("Product", "shop:product", "sku")
    assert schema.composites == (CompositeSpec("category", "price"),)
    assert (schema.partitions, schema.group, schema.evictable, schema.versioned) == (1, None, False, False)
    assert {spec.name: spec.kind for spec in schema.fields} == {
        "sku": Kind.KEY,
        "name": Kind.TEXT,
        "category": Kind.TAG,
        "tags": Kind.TAG,
        "price": Kind.NUMBER,
        "stock": Kind.NUMBER,
        "released": Kind.NUMBER,
        "ean": Kind.UNIQUE,
        "blurb": Kind.STORED,
    }
    assert [spec.position for spec in schema.fields] == list(range(9))
    assert [spec.name for spec in schema.fields if spec.nullable] == ["released", "ean"]
    assert [spec.name for spec in schema.fields if spec.multiple] == ["tags"]
    assert field(Product, "price").bounds == Bounds(ge=0)


def test_meta_passes_its_options_on() -> None:
    class Event(Model):
        meta = Meta(group="audit", partitions=4, evictable=True, versioned=True)
        id: Key[int]

    schema = Event.__redisom_schema__
    assert (schema.group, schema.partitions, schema.evictable, schema.versioned) == ("audit", 4, True, True)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("Product", "product"),
        ("ShopProduct", "shop_product"),
        ("HTTPLog", "http_log"),
        ("Order2Line", "order2_line"),
        ("Page[int]", "page_int"),
        ("already_snake", "already_snake"),
    ],
)
def test_prefix_defaults_to_the_class_name_in_snake_case(name: str, prefix: str) -> None:
    assert snake_case(name) == prefix


@pytest.mark.parametrize("type_", [int, float, Decimal, bool, datetime, date, time, timedelta, Level])
@pytest.mark.parametrize("nullable", [False, True])
def test_range_of_a_number_type_is_a_number(type_: Any, nullable: bool) -> None:
    spec = field(declared(value=Range[type_ | None] if nullable else Range[type_]), "value")
    assert (spec.kind, spec.nullable) == (Kind.NUMBER, nullable)


@pytest.mark.parametrize("type_", [str, int, bool, UUID, Color, Level, Literal["a", "b"]])
@pytest.mark.parametrize("mark", [Tag, Unique])
def test_tag_and_unique_take_every_type_of_a_tag(type_: Any, mark: Any) -> None:
    spec = field(declared(value=mark[type_ | None]), "value")
    kind = Kind.TAG if mark is Tag else Kind.UNIQUE
    assert (spec.kind, spec.nullable, spec.multiple) == (kind, True, False)


@pytest.mark.parametrize("type_", [set[str], frozenset[int], list[Color], tuple[UUID, ...]])
@pytest.mark.parametrize("nullable", [False, True])
def test_tag_of_a_collection_has_a_codec_for_its_members(type_: Any, nullable: bool) -> None:
    spec = field(declared(value=Tag[type_ | None] if nullable else Tag[type_]), "value")
    assert (spec.multiple, spec.nullable) == (True, nullable)


@pytest.mark.parametrize("type_", [str, int, UUID])
def test_key_takes_its_three_types(type_: Any) -> None:
    model = create_model("Note", __base__=Model, code=(Key[type_], ...))
    assert model.__redisom_schema__.key.name == "code"


def test_constraints_become_bounds_wherever_they_are_written() -> None:
    Amount = NewType("Amount", int)
    Small = TypeAliasType("Small", Annotated[int | None, Field(lt=10)])

    class Bounded(Model):
        id: Key[int]
        outside: Range[int] = Field(gt=0, le=9)
        inside: Range[PositiveInt | None]
        twice: Range[Annotated[int, Ge(1), Ge(3), Le(9), Le(7)]]
        new: Range[Amount] = Field(ge=2)
        alias: Range[Small]

    assert field(Bounded, "outside").bounds == Bounds(gt=0, le=9)
    assert field(Bounded, "inside").bounds == Bounds(gt=0)
    assert field(Bounded, "twice").bounds == Bounds(ge=3, le=7)
    assert field(Bounded, "new").bounds == Bounds(ge=2)
    assert field(Bounded, "alias").bounds == Bounds(lt=10)
    assert [spec.name for spec in Bounded.__redisom_schema__.fields if spec.nullable] == ["inside", "alias"]


def test_stored_fields_that_may_hold_none_are_nullable_without_saying_so() -> None:
    class Loose(Model):
        id: Key[int]
        anything: Any = 5
        named: str
        literal: Literal["a", None]
        several: int | str | None

    nullable = {spec.name: spec.nullable for spec in Loose.__redisom_schema__.fields}
    assert nullable == {"id": False, "anything": True, "named": False, "literal": True, "several": True}


def test_literal_with_none_is_a_nullable_tag() -> None:
    assert field(declared(kind=Tag[Literal["a", "b", None]]), "kind").nullable


def test_stored_field_keeps_what_was_said_of_its_type() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"] = "cat"

    class Dog(BaseModel):
        kind: Literal["dog"] = "dog"

    opaque = Annotated[
        Any, PlainValidator(lambda value: int(value)), PlainSerializer(lambda value: str(value))
    ]
    note: Any = declared(pet=Annotated[Cat | Dog | None, Field(discriminator="kind")], odd=opaque)
    record = note(id=1, pet=Dog(), odd=3)
    assert hydrate(note, row(record)) == record


# Inheritance, mixins, generics


def test_subclass_inherits_the_database_and_not_the_prefix() -> None:
    database = Database("memory://")

    class Animal(Model):
        meta = Meta(db=database, prefix="zoo", versioned=True)
        id: Key[int]

    class Dog(Animal):
        name: Range[str]

    class Puppy(Dog):
        meta = Meta(prefix="pup")

    assert [model.meta.db for model in (Animal, Dog, Puppy)] == [database] * 3
    assert [model.__redisom_schema__.prefix for model in (Animal, Dog, Puppy)] == ["zoo", "dog", "pup"]
    assert [model.meta.versioned for model in (Animal, Dog, Puppy)] == [True, True, False]


def test_columns_of_a_subclass_are_its_own() -> None:
    class Digital(Product):
        url: str = ""

    assert Digital.price.schema is Digital.__redisom_schema__
    assert Digital.price is Digital.price
    assert Digital.price is not Product.price
    assert repr(Digital.price) == "Digital.price"


def test_subclass_may_declare_a_field_anew() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a column is nothing that a field could hide

        class Text(Product):
            stock: Tag[str]  # type: ignore[assignment]
            name: str  # type: ignore[assignment]

    assert isinstance(Text.stock, TagColumn)
    assert field(Text, "name").kind is Kind.STORED
    assert Text.__pydantic_fields__["name"].is_required()


def test_plain_mixin_brings_indexed_fields() -> None:
    class Timed(BaseModel):
        created: Range[datetime] = Field(default_factory=datetime.now)

    class Note(Timed, Model):
        id: Key[int]

    assert isinstance(Note.created, RangeColumn)
    assert Note(id=1).created <= datetime.now()


def test_generic_mixin_gives_a_column_of_the_concrete_type() -> None:
    class Owned(BaseModel, Generic[T]):
        owner: Tag[T]
        rating: Range[T | None] = Field(default=None)

    class Note(Owned[int], Model):
        id: Key[int]

    assert (field(Note, "owner").codec.name, field(Note, "rating").kind) == ("int", Kind.NUMBER)
    assert Note(id=1, owner=5).owner == 5


def test_generic_base_without_key_is_only_a_base() -> None:
    class Owned(Model, Generic[T]):
        owner: Tag[T]

    class Note(Owned[str]):
        id: Key[str]

    class Bill(Owned[UUID]):
        id: Key[int]

    assert repr(Note.owner) == "Note.owner"
    assert (field(Note, "owner").codec.name, field(Bill, "owner").codec.name) == ("str", "UUID")
    assert "no key" in refused(lambda: Owned[str].__redisom_schema__)


def test_parametrized_generic_with_a_key_is_a_model() -> None:
    class Box(Model, Generic[T]):
        id: Key[int]
        content: Range[T]

    assert Box[int].__redisom_schema__.prefix == "box_int"
    assert isinstance(Box[int].content, RangeColumn)
    assert Box[int].objects is not Box[Decimal].objects
    assert "open type parameters" in refused(lambda: Box.__redisom_schema__)


def test_abstract_class_needs_no_key_and_has_no_records() -> None:
    class Base(Model, abstract=True):
        meta = Meta(versioned=True)
        created: Range[int] = Field(default=0)

    class Note(Base):
        id: Key[int]

    assert Note.__redisom_schema__.versioned
    assert "Base is abstract" in refused(lambda: Base.__redisom_schema__)
    assert "Base is abstract" in refused(lambda: Base.created)


def test_each_class_has_managers_of_its_own() -> None:
    class Session(Model):
        objects = Manager(ttl=timedelta(minutes=30), sliding=True)
        short = Manager(ttl=60)
        annotated: ClassVar[Manager[Session]] = Manager(ttl=5)
        id: Key[int]

    class Admin(Session):
        pass

    class Other(Model):
        id: Key[int]

    managers: list[Any] = [
        Session.objects,
        Session.short,
        Session.annotated,
        Admin.objects,
        Admin.short,
        Other.objects,
    ]
    assert len({id(manager) for manager in managers}) == 6
    assert list(Session.__pydantic_fields__) == ["id"]


def test_manager_keeps_the_class_of_its_methods() -> None:
    class Cheap(Manager["Item"]):
        def answer(self) -> int:
            return 42

    class Item(Model):
        objects = Cheap()
        id: Key[int]

    class Sub(Item):
        pass

    assert (Item.objects.answer(), Sub.objects.answer()) == (42, 42)
    assert Item.objects is not Sub.objects


# Forward references


def test_forward_reference_resolves_at_rebuild() -> None:
    class Parent(Model):
        id: Key[int]
        child: Child | None = None
        rank: Range[Decimal] = Field(default=Decimal(1))

    class Child(BaseModel):
        name: str

    Parent.model_rebuild()
    assert isinstance(Parent.rank, RangeColumn)
    assert Parent(id=1, child=Child(name="x")).child == Child(name="x")


def test_local_names_resolve_as_in_any_pydantic_model() -> None:
    class Address(BaseModel):
        city: str

    class Person(Model):
        id: Key[int]
        address: Address
        friends: list[Person] = Field(default_factory=list)

    assert Person.__pydantic_complete__
    assert field(Person, "friends").kind is Kind.STORED


def test_unresolved_reference_is_refused_at_first_use_with_the_cure() -> None:
    class Parent(Model):
        id: Key[int]
        child: Missing | None = None  # type: ignore[name-defined]  # noqa: F821

    assert "Parent.model_rebuild()" in refused(lambda: Parent.__redisom_schema__)


def test_wrong_declaration_with_a_forward_reference_is_refused_once_it_is_complete() -> None:
    class Parent(Model):
        child: Child | None = None

    class Child(BaseModel):
        pass

    def complete() -> None:
        Parent.model_rebuild(_types_namespace={"Child": Child})
        Parent.__redisom_schema__  # older releases of pydantic do not say when a class is complete

    assert "Parent has no key" in refused(complete)


def test_deferred_build_is_completed_at_first_use() -> None:
    class Late(Model):
        model_config = ConfigDict(defer_build=True)
        id: Key[int]
        value: Range[int]

    assert isinstance(Late.value, RangeColumn)
    assert Late(id=1, value=2).pk == 1


def test_reference_inside_a_mark_resolves() -> None:
    class Note(Model):
        id: Key[int]
        value: Range["Later"]  # type: ignore[name-defined]  # noqa: F821, UP037

    Note.model_rebuild(_types_namespace={"Later": Decimal})
    assert field(Note, "value").codec.name == "Decimal"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is newer")
def test_type_statements_are_looked_through() -> None:
    names: dict[str, Any] = {}
    exec("type Price = Decimal | None\ntype Maybe[T] = T | None", globals(), names)
    note = declared(price=Range[names["Price"]], kind=Tag[names["Maybe"][str]])
    assert [(spec.name, spec.nullable) for spec in note.__redisom_schema__.fields] == [
        ("id", False),
        ("price", True),
        ("kind", True),
    ]


def test_hooks_of_a_class_see_the_columns_of_others() -> None:
    seen: list[object] = []

    class Base(Model, abstract=True):
        def __init_subclass__(cls, **options: Any) -> None:
            super().__init_subclass__(**options)
            seen.append(Product.price)

    class Note(Base):
        id: Key[int]

    assert seen == [Product.price]
    assert Note.id.schema is Note.__redisom_schema__


def test_first_use_in_many_threads_makes_one_schema() -> None:
    class Box(Model, Generic[T]):
        id: Key[int]
        content: Range[T]

    for type_ in (int, float, Decimal, datetime):
        with ThreadPoolExecutor(8) as pool:
            columns = list(pool.map(lambda box: box.content, [Box[type_]] * 8))
        assert set(map(id, columns)) == {id(Box[type_].content)}
        assert Box[type_].content.schema is Box[type_].__redisom_schema__
