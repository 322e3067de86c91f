"""`Model`: a pydantic model whose class knows its columns and whose instances are records.

A class body becomes a `ModelSchema` once: when the class is made, or, while a forward reference is open, as
soon as pydantic completes the class, at the latest at first use. Two kinds of class have no records of
their own, hence no schema: those declared with the class keyword `abstract=True`, and generic ones whose
parameters are open. What parametrizes a generic (`Owned[str]`) may be a mere base or a model itself: its
schema is made at first use.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from pydantic import ConfigDict, Field as PydanticField, PrivateAttr
from pydantic._internal._model_construction import ModelMetaclass, build_lenient_weakvaluedict
from pydantic._internal._typing_extra import parent_frame_namespace
from pydantic.errors import PydanticSchemaGenerationError
from typing_extensions import dataclass_transform

from redisom_lite.columns import Column, column_of
from redisom_lite.errors import DeclarationError
from redisom_lite.fields import Field
from redisom_lite.manager import MYPY, Manager, Objects
from redisom_lite.meta import Meta
from redisom_lite.part import Part
from redisom_lite.schema.annotation import unknown_type
from redisom_lite.schema.declaration import hidden_names, refuse_hiding, schema_of
from redisom_lite.schema.model_schema import ModelSchema
from redisom_lite.schema.record import Record
from redisom_lite.stored import Stored

_Columns = dict[str, Column[Any]]
_Attribute = Manager[Any] | Part[Any]


class _Making(threading.local):
    """The bases of the class this thread is making.

    Pydantic looks for what a field would hide among their attributes; a column is not that.
    """

    bases: frozenset[type] = frozenset()


_making = _Making()
_building = threading.RLock()


@contextmanager
def _making_class(bases: tuple[type, ...]) -> Generator[None]:
    outer, _making.bases = _making.bases, _making.bases.union(bases)
    try:
        yield
    finally:
        _making.bases = outer


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PydanticField, PrivateAttr))
class ModelType(ModelMetaclass):
    """The type of models: checks a declaration, binds managers, answers `Product.price` with a column."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type[Any], ...],
        namespace: dict[str, Any],
        *,
        abstract: bool = False,
        **kwargs: Any,
    ) -> type:
        """Make a model class; with `abstract` a base for others, without a key and records of its own."""
        if kwargs.get("__pydantic_reset_parent_namespace__", True):
            # What pydantic does itself to resolve names local to a function, but it would look in this frame.
            kwargs["__pydantic_reset_parent_namespace__"] = False
            namespace["__pydantic_parent_namespace__"] = build_lenient_weakvaluedict(parent_frame_namespace())
        _check_names(name, bases, namespace)
        attributes = _take_attributes(namespace)
        with _making_class(bases):
            try:
                cls: Any = super().__new__(mcs, name, bases, namespace, **kwargs)
            except PydanticSchemaGenerationError as error:
                raise _unknown_type(name, bases) from error
        _settle(cls, abstract, attributes)
        made: type = cls
        return made

    if not TYPE_CHECKING:  # so that checkers do not allow any attribute

        def __getattr__(cls, item: str) -> Any:
            if item == "__redisom_schema__":  # `_Schema` could not give it
                return _first_use(cls)
            own = cls.__dict__
            if item in own.get("__pydantic_fields__", ()) and cls not in _making.bases:
                return (own.get("__redisom_columns__") or _columns(cls))[item]
            return super().__getattr__(item)


class _Schema:
    """The `__redisom_schema__` of a class that has not made its own yet."""

    def __get__(self, obj: Record | None, owner: type[Record]) -> ModelSchema:
        return _first_use(owner)


class _NoSchemaError(DeclarationError, AttributeError):
    """A class without a schema lacks the attribute too: `help`, `hasattr` and the like pass over it."""


def _check_names(name: str, bases: tuple[type, ...], namespace: Mapping[str, Any]) -> None:
    """Refuse fields that hide something before pydantic takes what they hide for their default."""
    annotations = _annotations(namespace)
    known = [base for parent in bases for base in parent.__mro__]
    fields = (field for field, annotation in annotations.items() if "ClassVar" not in str(annotation))
    for field in fields:
        if isinstance(namespace.get(field), Manager | Part | Meta):
            raise DeclarationError(
                f"{name}.{field} is annotated like a field: leave the annotation out, or write ClassVar[...]"
            )
        if hidden_names((field,), known):
            refuse_hiding(name, field)


def _unknown_type(name: str, bases: tuple[type, ...]) -> DeclarationError:
    """What to say of a class that pydantic gave up on, which only its bases still know."""
    subclasses: list[type] = bases[0].__subclasses__()
    made = [cls for cls in subclasses if cls.__name__ == name]
    field = unknown_type(getattr(made[-1], "__pydantic_fields__", {})) if made else None
    return DeclarationError(
        f"{name}{'.' + field if field else ''} has a type that pydantic does not know: "
        "use one of its types, or keep the value in a private attribute, whose name begins with _"
    )


def _annotations(namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    if sys.version_info >= (3, 14) and "__annotations__" not in namespace:
        import annotationlib

        annotate = annotationlib.get_annotate_from_class_namespace(namespace)
        if annotate is not None:
            namespace = {
                "__annotations__": annotationlib.call_annotate_function(
                    annotate, annotationlib.Format.FORWARDREF
                )
            }
    annotations: Mapping[str, Any] = namespace.get("__annotations__", {})
    return annotations


def _take_attributes(namespace: dict[str, Any]) -> dict[str, _Attribute]:
    """Take managers and parts out of a class body, where pydantic would refuse them for want of an annotation."""
    names = [name for name, value in namespace.items() if isinstance(value, Manager | Part)]
    return {name: namespace.pop(name) for name in names}


def _settle(cls: Any, abstract: bool, attributes: dict[str, _Attribute]) -> None:
    """What is left to do once pydantic has made a class."""
    for field in hidden_names(cls.__pydantic_fields__, cls.__mro__):
        refuse_hiding(cls.__name__, field)
    cls.__redisom_abstract__ = abstract
    cls.__redisom_schema__ = _Schema()
    cls.meta = _meta_of(cls)
    for name, attribute in (_inherited_attributes(cls) | attributes).items():
        _bind(cls, name, attribute)
    if _made_at_once(cls):
        _make_schema(cls)


def _meta_of(cls: type[Model]) -> Meta:
    """The `Meta` of a class: its own with the `db` of its bases, or that of its bases without the prefix."""
    own: object = cls.__dict__.get("meta")
    metas = [meta for base in cls.__mro__[1:] if isinstance(meta := base.__dict__.get("meta"), Meta)]
    if own is None:
        own = replace(metas[0], prefix=None)
    if not isinstance(own, Meta):
        raise DeclarationError(f"{cls.__name__}.meta is no Meta: write meta = Meta(...)")
    db = next((meta.db for meta in (own, *metas) if meta.db is not None), None)
    return replace(own, db=db)


def _inherited_attributes(cls: type) -> dict[str, _Attribute]:
    attributes: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        attributes.update(base.__dict__)
    return {name: value for name, value in attributes.items() if isinstance(value, Manager | Part)}


def _bind(cls: Any, name: str, attribute: _Attribute) -> None:
    if isinstance(attribute, Part):
        _check_part(cls, name)
    bound = attribute.bound_to(cls)
    bound.__set_name__(cls, name)
    setattr(cls, name, bound)
    cls.__class_vars__.add(name)


def _check_part(cls: Any, name: str) -> None:
    """Refuse a part that would hide something of its class."""
    bases: tuple[type, ...] = cls.__mro__
    hidden = [base for base in bases if not isinstance(vars(base).get(name), Part | None)]
    if hidden or name in cls.__pydantic_fields__:
        raise DeclarationError(f"{cls.__name__}.{name} is a part that hides a field or a method: rename it")


def _made_at_once(cls: Any) -> bool:
    """Whether the schema is due as soon as pydantic has completed the class."""
    generic = cls.__pydantic_generic_metadata__
    return (
        cls.__pydantic_complete__
        and not cls.__redisom_abstract__
        and not generic["parameters"]
        and generic["origin"] is None
    )


def _first_use(cls: type) -> ModelSchema:
    try:
        return _make_schema(cls)
    except DeclarationError as error:
        raise _NoSchemaError(str(error)) from error.__cause__


def _make_schema(cls: Any) -> ModelSchema:
    name = cls.__name__
    if cls.__redisom_abstract__ or cls.__pydantic_generic_metadata__["parameters"]:
        raise DeclarationError(
            f"{name} is abstract or has open type parameters, and no records: use a concrete subclass"
        )
    if not cls.__pydantic_complete__ and not cls.model_rebuild(raise_errors=False):
        raise DeclarationError(
            f"{name} refers to a type that is not defined yet: define it, then call {name}.model_rebuild()"
        )
    with _building:  # two schemas of one class would take each other's columns for foreign
        if "__redisom_columns__" not in cls.__dict__:
            schema = schema_of(cls, cls.meta)
            cls.__redisom_schema__ = schema
            cls.__redisom_columns__ = {field.name: column_of(schema, field) for field in schema.fields}
        made: ModelSchema = cls.__dict__["__redisom_schema__"]
    return made


def _columns(cls: Any) -> _Columns:
    if "__redisom_columns__" not in cls.__dict__:
        _first_use(cls)
    columns: _Columns = cls.__dict__["__redisom_columns__"]
    return columns


class Model(Stored, metaclass=ModelType, abstract=True):
    """Base of all models: a pydantic model, stored in Redis.

    Class attributes: one column per field, `objects` and any other `Manager`, and `meta`, a `Meta` with the
    options. A class without records of its own, as a base for others, is declared with
    `class Base(Model, abstract=True)`; it needs no key.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    __redisom_abstract__: ClassVar[bool]
    __redisom_columns__: ClassVar[_Columns]

    meta: ClassVar[Meta] = Meta()

    if not TYPE_CHECKING:
        objects: ClassVar[Manager[Any]] = Manager()
    elif MYPY:
        objects: ClassVar = Manager()
    else:
        objects = Objects()  # not declared, so that a class may have a manager of another type

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        settled = "__redisom_abstract__" in cls.__dict__  # else the class is still being made
        if settled and _made_at_once(cls):
            _make_schema(cls)

    @property
    def pk(self) -> str | int | UUID:
        """The value of the key field."""
        key: str | int | UUID = getattr(self, type(self).__redisom_schema__.key.name)
        return key


del Model.model_config["defer_build"]  # the bases are deferred, see `Record`; a model is not
