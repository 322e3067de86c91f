"""From a class to a `ModelSchema`: what each field is, and every reason why a declaration cannot work.

All refusals are `DeclarationError`s that name the model, the field and the cure, raised when the class is
made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from redisom_lite.codec import (
    Codec,
    collection_codecs,
    key_codec,
    number_codec,
    shared_token,
    stored_codec,
    tag_codec,
    text_codec,
)
from redisom_lite.errors import DeclarationError
from redisom_lite.meta import Binding, Composite, Meta
from redisom_lite.schema.annotation import Declaration, Indexed, read
from redisom_lite.schema.model_schema import CompositeSpec, FieldSpec, Kind, ModelSchema
from redisom_lite.schema.validation import checker_of, hydrator_of, refusing_none, row_hydrator_of

_NUMBERS = "int, float, Decimal, bool, datetime, date, time, timedelta, IntEnum"
_TAGS = "str, int, bool, UUID, Enum, Literal"
_ACCEPTED = {
    Indexed.KEY: "a Key is str, int or UUID",
    Indexed.RANGE: f"a Range is {_NUMBERS} or str",
    Indexed.TAG: f"a Tag is {_TAGS}, or a set, frozenset, list or tuple[..., ...] of one of these",
    Indexed.UNIQUE: f"a Unique is {_TAGS}",
}

_OPTIONS = (
    ("db", Binding | None, "a Database, as in Meta(db=Database(url))"),
    ("prefix", str | None, "a str"),
    ("group", str | None, "a str"),
    ("partitions", int, "a number from 1 on"),
    ("evictable", bool, "True or False"),
    ("versioned", bool, "True or False"),
)


def schema_of(model: type[BaseModel], meta: Meta) -> ModelSchema:
    """The schema of a completed pydantic model, or a `DeclarationError`."""
    name = model.__name__
    if model.__pydantic_root_model__:
        _refuse(name, "is a RootModel, which has no fields to store: declare the root as a field of a Model")
    checker = checker_of(model)
    fields = _fields(model, checker)
    by_name = {field.name: field for field in fields}
    _check_meta(name, meta, fields)
    return ModelSchema(
        model=name,
        prefix=_prefix(name, meta),
        key=_key(name, fields),
        fields=fields,
        by_name=MappingProxyType(by_name),
        composites=_composites(name, meta, by_name),
        hydrator=hydrator_of(model, fields),
        row_hydrator=row_hydrator_of(model, fields),
        checker=checker,
        group=meta.group,
        partitions=meta.partitions,
        evictable=meta.evictable,
        versioned=meta.versioned,
    )


def hidden_names(names: Iterable[str], bases: Iterable[type]) -> list[str]:
    """The field names that would hide a method or an attribute which these classes define.

    Of pydantic's own only `model_...` count: its older names (`json`, `copy`) it lends to fields itself.
    """
    defined: set[str] = set()
    for base in bases:
        own = vars(base).keys() - getattr(base, "__pydantic_fields__", {}).keys()
        defined.update(own if base is not BaseModel else {name for name in own if name.startswith("model_")})
    return [name for name in names if name in defined - {"model_config"}]


def refuse_hiding(model: str, name: str) -> NoReturn:
    """Refuse such a field."""
    cure = "rename it, and keep the name outside with Field(alias=...)"
    _refuse(model, f"hides a method or attribute of the model: {cure}", name)


def snake_case(name: str) -> str:
    """`ShopProduct` -> `shop_product`, `HTTPLog` -> `http_log`, `Page[int]` -> `page_int`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"\W+", "_", words).strip("_").lower()


def _refuse(model: str, what: str, field: str | None = None) -> NoReturn:
    raise DeclarationError(f"{model}.{field} {what}" if field else f"{model} {what}")


def _fields(model: type[BaseModel], checker: Any) -> tuple[FieldSpec, ...]:
    infos = model.__pydantic_fields__
    declared = {name: read(info) for name, info in infos.items()}
    no_none = refusing_none(checker, infos)
    return tuple(
        _field(model.__name__, name, position, declaration, infos[name], nullable=name not in no_none)
        for position, (name, declaration) in enumerate(declared.items())
    )


def _field(
    model: str, name: str, position: int, declared: Declaration, info: FieldInfo, *, nullable: bool
) -> FieldSpec:
    mark = _mark(model, name, declared)
    kind, codec, member = _index(model, name, mark, declared)
    nullable = declared.nullable or (kind is Kind.STORED and nullable)
    if declared.ttl_ms is not None:
        _check_fading(model, name, kind, info, nullable=nullable)
    return FieldSpec(
        model=model,
        name=name,
        position=position,
        kind=kind,
        codec=codec,
        nullable=nullable,
        member=member,
        bounds=declared.bounds,
        ttl_ms=declared.ttl_ms,
    )


def _check_fading(model: str, name: str, kind: Kind, info: FieldInfo, *, nullable: bool) -> None:
    if kind is not Kind.STORED:
        _refuse(
            model,
            "is indexed, and a value of it cannot end before its record does: "
            "drop Field(ttl=...) or the index, or give the record a lifetime",
            name,
        )
    if info.is_required():
        _refuse(model, "has a lifetime and no default to read as when it has ended: give it a default", name)
    if nullable and info.default is not None:
        # None is no text that could end
        _refuse(
            model, "has a lifetime and may be None: give it the default None, or a type without None", name
        )


def _mark(model: str, name: str, declared: Declaration) -> Indexed | None:
    if declared.misplaced is not None:
        mark = declared.misplaced.value
        _refuse(
            model, f"has {mark}[...] inside another type: write it outermost, as in {mark}[str | None]", name
        )
    if len(declared.marks) > 1:
        both = " and ".join(mark.value for mark in declared.marks)
        _refuse(model, f"is declared {both} at once: choose one", name)
    return declared.marks[0] if declared.marks else None


def _index(
    model: str, name: str, mark: Indexed | None, declared: Declaration
) -> tuple[Kind, Codec, Codec | None]:
    match mark:
        case None:
            return Kind.STORED, _stored(model, name, declared.annotated), None
        case Indexed.KEY if declared.nullable:
            _refuse(model, "is the key and may not be None: declare it without None", name)
        case Indexed.KEY if codec := key_codec(declared.type):
            return Kind.KEY, codec, None
        case Indexed.RANGE if codec := number_codec(declared.type):
            return Kind.NUMBER, codec, None
        case Indexed.RANGE if codec := text_codec(declared.type):
            return Kind.TEXT, codec, None
        case Indexed.TAG if codecs := collection_codecs(declared.type):
            _check_tokens(model, name, declared.type)
            return Kind.TAG, *codecs
        case Indexed.TAG | Indexed.UNIQUE if codec := tag_codec(declared.type):
            _check_tokens(model, name, declared.type)
            return (Kind.TAG if mark is Indexed.TAG else Kind.UNIQUE), codec, None
        case _:
            _refuse(
                model, f"has a type that cannot be indexed so: {_ACCEPTED[mark]}, with or without None", name
            )


def _stored(model: str, name: str, declared: Any) -> Codec:
    try:
        return stored_codec(declared)
    except TypeError as error:
        raise DeclarationError(
            f"{model}.{name} has a type that cannot be stored and read back: "
            "give it one that pydantic validates and serializes, or make it a private attribute"
        ) from error


def _check_tokens(model: str, name: str, declared: Any) -> None:
    if pair := shared_token(declared):
        _refuse(
            model, f"has choices that would share one index entry, {pair}: change or drop one of them", name
        )


def _key(model: str, fields: tuple[FieldSpec, ...]) -> FieldSpec:
    keys = [field for field in fields if field.kind is Kind.KEY]
    if not keys:
        _refuse(
            model,
            "has no key: declare one field as Key[str], Key[int] or Key[UUID], "
            f"or make it a base for other models with class {model}(..., abstract=True)",
        )
    if len(keys) > 1:
        names = " and ".join(field.name for field in keys)
        _refuse(model, f"has more than one key, {names}: keep one, and make the others Unique[...]")
    return keys[0]


def _check_meta(model: str, meta: Meta, fields: tuple[FieldSpec, ...]) -> None:
    for option, types, what in _OPTIONS:
        value: object = getattr(meta, option)
        if not isinstance(value, types) or (
            types is int and (isinstance(value, bool) or meta.partitions < 1)
        ):
            _refuse(model, f"has a Meta with a wrong {option}: it takes {what}")
    for field in fields:
        if field.kind is Kind.UNIQUE:
            _check_unique(field, meta)


def _check_unique(field: FieldSpec, meta: Meta) -> None:
    if meta.evictable:
        _refuse(
            field.model,
            "is Unique, which an evictable model cannot keep: drop evictable=True or use Tag",
            field.name,
        )
    if meta.partitions > 1:
        _refuse(
            field.model,
            "is Unique, which holds within one partition only: drop partitions or use Tag",
            field.name,
        )


def _prefix(model: str, meta: Meta) -> str:
    for option, name in (("prefix", meta.prefix), ("group", meta.group)):
        if name == "" or (name is not None and set(name) & set("{}")):
            _refuse(
                model, f"has a Meta whose {option} is empty or holds a brace: choose a name without {{ and }}"
            )
    return snake_case(model) if meta.prefix is None else meta.prefix


def _composites(model: str, meta: Meta, by_name: Mapping[str, FieldSpec]) -> tuple[CompositeSpec, ...]:
    found: dict[CompositeSpec, None] = {}
    for composite in _declared_composites(model, meta):
        spec = CompositeSpec(composite.tag, composite.range)
        _check_part(model, spec.tag, by_name, Kind.TAG, "Tag[...]")
        _check_part(model, spec.range, by_name, Kind.NUMBER, "Range[...] of a number or a time")
        if spec in found:
            _refuse(model, f'declares Composite("{spec.tag}", "{spec.range}") twice: drop one')
        found[spec] = None
    return tuple(found)


def _declared_composites(model: str, meta: Meta) -> list[Composite]:
    indexes: object = meta.indexes
    items: list[object] = list(meta.indexes) if isinstance(indexes, list | tuple) else []
    composites = [item for item in items if isinstance(item, Composite)]
    if not isinstance(indexes, list | tuple) or len(composites) < len(items):
        _refuse(
            model, 'has a Meta with wrong indexes: it takes a list of Composite("tag field", "range field")'
        )
    return composites


def _check_part(model: str, name: str, by_name: Mapping[str, FieldSpec], kind: Kind, needed: str) -> None:
    field = by_name.get(name)
    if field is None:
        _refuse(
            model, f"has a Composite that names {name!r}, which is no field of it: name one of its fields"
        )
    if field.kind is not kind:
        _refuse(model, f"is part of a Composite and not indexed for it: declare it {needed}", name)
