"""The validators of a model: from stored texts to an instance, and over the values of an instance again.

Neither runs a validator that a user wrote. Those belong to what comes from outside; run again on what is
stored, they would change it (a password hashed twice) or refuse records written before the rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import CoreConfig, CoreSchema, SchemaValidator, ValidationError, core_schema
from typing_extensions import TypedDict

from redisom_lite.codec import built_anew
from redisom_lite.schema.annotation import read, without_validators
from redisom_lite.schema.model_schema import FieldSpec

ExtraBehavior: TypeAlias = Literal["allow", "ignore"]

_typed_dict: Any = TypedDict  # called with fields that are known at run time only
_KEPT_CONFIG: Final = ("allow_inf_nan", "coerce_numbers_to_str", "regex_engine")


def hydrator_of(model: type[BaseModel], fields: Iterable[FieldSpec]) -> SchemaValidator:
    """Turn `{field name: stored text, or None}` into an instance, as validation by pydantic leaves it.

    Absent fields take their default. Private attributes are initialised and `model_post_init` runs;
    `__init__` and validators do not. The model's config has no say: stripping white space would alter what
    is stored.
    """
    declared = model.__pydantic_fields__
    texts = {spec.name: _with_default(_from_text(model, spec), declared[spec.name]) for spec in fields}
    fields_schema = core_schema.model_fields_schema(
        {name: core_schema.model_field(schema) for name, schema in texts.items()}, model_name=model.__name__
    )
    return _instances(model, fields_schema)


def row_hydrator_of(model: type[BaseModel], fields: Sequence[FieldSpec]) -> SchemaValidator:
    """As `hydrator_of`, of `ArgsKwargs` with the texts of all fields, which takes two thirds of the time."""
    known, extra = frozenset(spec.name for spec in fields), _extra(model) == "allow"

    def parts(
        arguments: tuple[dict[str, Any], None],
    ) -> tuple[dict[str, Any], dict[str, Any] | None, set[str]]:
        return arguments[0], {} if extra else None, set(known)

    # arguments by position become a dict by name: pydantic-core has that for dataclasses
    texts = core_schema.dataclass_args_schema(
        model.__name__,
        [core_schema.dataclass_field(spec.name, _from_text(model, spec), kw_only=False) for spec in fields],
    )
    return _instances(model, core_schema.no_info_after_validator_function(parts, texts))


def _instances(model: type[BaseModel], parts: CoreSchema) -> SchemaValidator:
    """What makes instances of what `parts` gives: their `__dict__`, extra values, and the fields that are set."""
    config = CoreConfig(title=model.__name__, hide_input_in_errors=True, extra_fields_behavior=_extra(model))
    schema = core_schema.model_schema(model, parts, post_init=model.__pydantic_post_init__, config=config)
    with built_anew((model,)):
        return SchemaValidator(schema, config)


def _extra(model: type[BaseModel]) -> ExtraBehavior:
    return "allow" if model.model_config.get("extra") == "allow" else "ignore"


def checker_of(model: type[BaseModel]) -> SchemaValidator:
    """Check the values of an instance's `__dict__` against types and constraints; gives a plain dict."""
    declared = {name: without_validators(info) for name, info in model.__pydantic_fields__.items()}
    kept = {name: value for name, value in model.model_config.items() if name in _KEPT_CONFIG}
    values: Any = _typed_dict(model.__name__, declared)
    values.__pydantic_config__ = {**kept, "arbitrary_types_allowed": True}
    schema = TypeAdapter[Any](values).core_schema
    return SchemaValidator(schema, CoreConfig(title=model.__name__, hide_input_in_errors=True))


def refusing_none(checker: SchemaValidator, names: Iterable[str]) -> frozenset[str]:
    """The fields whose type has no place for `None`; `Any` and `JsonValue` have, without saying so."""
    try:
        checker.validate_python(dict.fromkeys(names))
    except ValidationError as error:
        return frozenset(str(each["loc"][0]) for each in error.errors(include_input=False, include_url=False))
    return frozenset()


def _from_text(model: type[BaseModel], spec: FieldSpec) -> CoreSchema:
    info = model.__pydantic_fields__[spec.name]
    schema = spec.codec.core
    if model.model_config.get("use_enum_values") and _is_enum(read(info).type):
        schema = core_schema.no_info_after_validator_function(attrgetter("value"), schema)
    return core_schema.nullable_schema(schema) if spec.nullable else schema


def _is_enum(declared: Any) -> bool:
    return isinstance(declared, type) and issubclass(declared, Enum)


def _with_default(schema: CoreSchema, info: FieldInfo) -> CoreSchema:
    if info.is_required():
        return schema
    if info.default_factory is None:
        return core_schema.with_default_schema(schema, default=info.default)
    return core_schema.with_default_schema(
        schema,
        default_factory=info.default_factory,
        default_factory_takes_data=info.default_factory_takes_validated_data,
    )
