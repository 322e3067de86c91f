"""Single nodes of a pydantic-core schema: what they tell about JSON, and how they change to be stored.

A node is a dict with a `type`. Nothing here looks for user code, or walks a schema to change it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any, Final, TypeAlias, TypeGuard

from pydantic import Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic_core import CoreConfig, core_schema, to_json

Node: TypeAlias = dict[str, Any]

CONFIG: Final = CoreConfig(
    ser_json_bytes="base64",
    val_json_bytes="base64",
    ser_json_inf_nan="constants",  # "NaN" in quotes would be text to a union
    ser_json_timedelta="iso8601",
    allow_inf_nan=True,
)
CHILDREN: Final = (
    "arguments_schema", "choices", "definitions", "extras_schema", "fields", "items_schema", "json_schema",
    "keys_schema", "lax_schema", "return_schema", "schema", "steps", "strict_schema", "values_schema",
)  # fmt: skip
"""Where a node holds the nodes that read and write JSON, alone or in lists or dicts."""

_FIELD = (
    "init",
    "serialization_alias",
    "serialization_exclude",
    "serialization_exclude_if",
    "validation_alias",
)
DROPPED: Final[Mapping[str, tuple[str, ...]]] = {
    "model-field": _FIELD,
    "dataclass-field": _FIELD,
    "typed-dict-field": _FIELD,
    "model": ("custom_init",),
    "date": ("now_op",),
    "datetime": ("now_op",),
}
"""What each type of node loses."""

WRAPPERS: Final = ("function-after", "function-before", "function-wrap")
WITHOUT_JSON: Final = ("callable", "is-instance", "is-subclass")
_WITH_A_WRITER: Final = (*WRAPPERS, "function-plain", "json-or-python", "lax-or-strict")
_KEYS: Final = (
    "bool", "bytes", "date", "datetime", "decimal", "float", "int", "str", "time", "timedelta", "uuid",
)  # fmt: skip
_TEXTS = ("bytes", "date", "datetime", "decimal", "str", "time", "timedelta", "url", "uuid")
_KINDS: Final[Mapping[str, str]] = {
    **{kind: kind for kind in ("none", "bool", "int", "float")},
    **dict.fromkeys(_TEXTS, "text"),
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), "array"),
    **dict.fromkeys(("dict", "model", "dataclass", "typed-dict"), "object"),
}
_ANY: Final[Node] = {"type": "any"}
_ZERO, _MINUTE = timedelta(), timedelta(minutes=1)


def is_list(schema: Any) -> TypeGuard[list[Any]]:
    return isinstance(schema, list)


def is_tuple(schema: Any) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(schema, tuple)


def is_dict(schema: Any) -> TypeGuard[dict[Any, Any]]:
    return isinstance(schema, dict)


def is_node(schema: Any) -> TypeGuard[Node]:
    """Whether it is a node, and not a dict of them, where `type` may be the name of a field."""
    return is_dict(schema) and isinstance(schema.get("type"), str)


def writes_itself(node: Node) -> bool:
    """Whether the node has a JSON form without the serializer that a user put on it."""
    if "serialization" in node:
        return True
    return node["type"] not in _WITH_A_WRITER and not contains(node, ("any", *WITHOUT_JSON))


def contains(schema: Any, types: tuple[str, ...]) -> bool:
    """Whether reading JSON by this schema meets one of these types."""
    if is_list(schema) or is_tuple(schema):
        return any(contains(item, types) for item in schema)
    if is_node(schema):
        if "serialization" in schema:
            return False
        keys = ("lax_schema",) if "lax_schema" in schema else CHILDREN
        return schema["type"] in types or any(contains(schema.get(key), types) for key in keys)
    return is_dict(schema) and any(contains(item, types) for item in schema.values())


def is_exact(node: Node) -> bool:
    """Whether the JSON of a value tells the value, as far as this node goes."""
    match node:
        case {"type": "any" | "generator"} | {"extra_behavior": "allow"} | {"init_only": True}:
            return False
        case {"type": "union", "choices": choices}:
            return _are_distinct(choices)
        case {"type": "enum", "members": members}:
            return {type(member.value) for member in members} <= {str, int}
        case {"type": "tagged-union", "discriminator": discriminator}:
            return not callable(discriminator)  # it may look for what is left out, an alias say
        case {"type": "list" | "set" | "frozenset" | "deque"}:
            return "items_schema" in node
        case {"type": "dict" | "counter" | "ordered-dict" | "frozendict"}:
            return "values_schema" in node and _has_plain_keys(node)
        case {"type": "json-or-python", "serialization": {"type": "function-wrap"}}:
            return False  # `Sequence` and the like, which may be any of several types
        case _:
            return True


def _are_distinct(choices: list[Any]) -> bool:
    """Whether the JSON of a value tells which choice of a union it is."""
    nodes: list[Node] = [choice[0] if isinstance(choice, tuple) else choice for choice in choices]
    kinds = [_KINDS.get(node["type"]) for node in nodes]
    return None not in kinds and len(set(kinds)) == len(kinds)


def _has_plain_keys(node: Node) -> bool:
    """Whether every key of a mapping has one text of its own, so that a JSON object can hold it."""
    keys: Node = node.get("keys_schema", _ANY)
    match keys["type"]:
        case "enum":
            values: list[Any] = [member.value for member in keys["members"]]
            return all(type(value) is str for value in values) or all(type(value) is int for value in values)
        case "literal":
            return all(type(value) is str for value in keys["expected"])
        case kind:
            return kind in _KEYS


def is_secret(node: Node) -> bool:
    if node.get("serialization", {}).get("function") in _secret_writers():
        return True
    match node:  # its serializer may be a user's
        case {"lax_schema": {"json_schema": {"type": "function-after", "function": {"function": made}}}}:
            return made is SecretStr or made is SecretBytes
        case _:
            return False


def revealed(node: Node) -> Any:
    hidden = node.get("lax_schema", node)["json_schema"]["schema"]
    return core_schema.plain_serializer_function_ser_schema(_reveal, return_schema=hidden)


def _reveal(value: Any) -> Any:
    return value.get_secret_value()


@cache
def _secret_writers() -> tuple[Any, ...]:
    nodes: list[Any] = [TypeAdapter(secret).core_schema for secret in (SecretStr, SecretBytes, Secret[int])]
    return tuple(
        part["serialization"]["function"]
        for node in nodes
        for part in (node, node.get("lax_schema", {}))
        if "serialization" in part
    )


def _in_order(node: Node) -> Node:
    return _written(node, _sort)


def _sort(value: Any, write: Callable[[Any], Any]) -> Any:
    return sorted(write(value), key=to_json)


def _on_the_minute(node: Node) -> Node:
    return _written(node, _to_whole_minutes)


def _to_whole_minutes(value: datetime | time, write: Callable[[Any], Any]) -> Any:
    """Write a datetime of broken-minute offset (which pydantic would cut) in UTC; refuse such a time."""
    if (value.utcoffset() or _ZERO) % _MINUTE:
        if isinstance(value, time):
            raise ValueError("the UTC offset is not in whole minutes")
        value = value.astimezone(UTC)
    return write(value)


def _written(node: Node, writer: Callable[..., Any]) -> Node:
    return {"serialization": core_schema.wrap_serializer_function_ser_schema(writer), **node}


def _in_pairs(node: Node) -> Node:
    """A dict whose keys would not survive as the names of a JSON object becomes a list of key and value."""
    if _has_plain_keys(node) or node.get("keys_schema", _ANY)["type"] == "any" or "serialization" in node:
        return node
    pair = core_schema.tuple_positional_schema([node["keys_schema"], node.get("values_schema", _ANY)])
    pairs = core_schema.list_schema(pair)
    writer = core_schema.wrap_serializer_function_ser_schema(_items, schema=pairs)
    ref = {"ref": node["ref"]} if "ref" in node else {}
    return {**core_schema.no_info_after_validator_function(dict, pairs, serialization=writer), **ref}


def _items(value: Any, write: Callable[[Any], Any]) -> Any:
    return write(list(value.items()))


def _as_declared_here(node: Node) -> Node:
    """A class without settings of its own but those that say what becomes of fields it does not know."""
    config: Node = node.get("config", {})
    kept = {key: config[key] for key in ("title", "extra_fields_behavior") if key in config}
    return _lenient({**node, "config": {**kept, **CONFIG}})


def _lenient(node: Node) -> Node:
    """Ignore unknown fields where they are forbidden: a later version of the class may have lost one."""
    for holder, key in ((node, "extra_behavior"), (node.get("config", {}), "extra_fields_behavior")):
        if holder.get(key) == "forbid":
            holder[key] = "ignore"
    return node


_CHANGES: Final[Mapping[str, Callable[[Node], Node]]] = {
    "set": _in_order,
    "frozenset": _in_order,
    "dict": _in_pairs,
    "datetime": _on_the_minute,
    "time": _on_the_minute,
    "model": _as_declared_here,
    "dataclass": _as_declared_here,
    "typed-dict": _as_declared_here,
    "model-fields": _lenient,
    "dataclass-args": _lenient,
}


def changed(node: Node) -> Node:
    """The node as it is stored: sets in order, odd keys in pairs, whole-minute offsets, our settings."""
    return _CHANGES.get(node["type"], _same)(node)


def _same(node: Node) -> Node:
    return node
