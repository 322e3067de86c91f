"""The pydantic-core schema of a type as it is stored, made from the one for validation and output.

What is stored must come back as it was, so the two differ. Out go validators and serializers that users wrote
(a second run may hash a password twice, a formatted date cannot be read back), aliases, `exclude`, the
settings of nested models, and "in the past" (it was, when it was stored). In come the text behind a secret, a
fixed order for sets, and pairs in place of JSON objects whose keys are more than one plain value.

A user's validator stays where pydantic has no other way to make the value (`BeforeValidator` on an arbitrary
class), a serializer where the type might have no other JSON form.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import SchemaSerializer, SchemaValidator

from redisom_lite.codec.schema_nodes import (
    CHILDREN,
    CONFIG,
    DROPPED,
    WITHOUT_JSON,
    WRAPPERS,
    Node,
    changed,
    contains,
    is_dict,
    is_exact,
    is_list,
    is_node,
    is_secret,
    is_tuple,
    revealed,
    writes_itself,
)
from redisom_lite.codec.user_code import user_functions


@dataclass(frozen=True, slots=True, eq=False)
class StoredForm:
    """Reads and writes the JSON of one type; `exact` unless some JSON could stand for two of its values."""

    validator: SchemaValidator
    serializer: SchemaSerializer
    exact: bool


def stored_form(annotation: Any) -> StoredForm:
    """The stored form of a type; raises what pydantic raises when it has no schema for it."""
    rewriting = _Rewriting(user_functions(annotation))
    schema: Any = rewriting.of(TypeAdapter(annotation).core_schema)
    with built_anew(rewriting.classes):
        return StoredForm(
            SchemaValidator(schema, CONFIG), SchemaSerializer(schema, CONFIG), exact=rewriting.exact
        )


@contextmanager
def built_anew(classes: Iterable[type]) -> Generator[None]:
    """Keep pydantic-core from using what these classes have built for themselves in place of a schema given.

    It does so for every model and dataclass, the outermost included, that calls itself complete.
    """
    complete = [cls for cls in classes if cls.__dict__.get("__pydantic_complete__")]
    for cls in complete:
        setattr(cls, "__pydantic_complete__", False)  # noqa: B010 - not an attribute of every class
    try:
        yield
    finally:
        for cls in complete:
            setattr(cls, "__pydantic_complete__", True)  # noqa: B010


@dataclass(slots=True, eq=False)
class _Rewriting:
    """One pass over a schema; `user` are the functions to leave out, the rest is what the pass has found."""

    user: Callable[[Any], bool]
    exact: bool = True
    classes: list[type] = field(default_factory=list[type])

    def of(self, schema: Any) -> Any:
        """The stored form of a node, or of the nodes in a list, a tuple or a dict."""
        if is_list(schema):
            return [self.of(item) for item in schema]
        if is_tuple(schema):  # a choice and its label
            return tuple(self.of(item) for item in schema)
        if is_node(schema):
            return self._node(schema)
        if is_dict(schema):  # fields, or choices, by name
            return {name: self.of(item) for name, item in schema.items()}
        return schema

    def _node(self, node: Node) -> Node:
        secret, exact = is_secret(node), self.exact
        dropped = DROPPED.get(node["type"], ())
        node = {
            key: self.of(value) if key in CHILDREN else value
            for key, value in node.items()
            if key not in dropped
        }
        if secret:
            return {**node, "serialization": revealed(node)}
        node = changed(self._without_user_code(node))
        if node.get("serialization", {}).get("type") == "function-plain":
            self.exact = exact  # a type that writes itself knows how to read itself
        self.exact &= is_exact(node)
        if node["type"] in ("model", "dataclass"):
            self.classes.append(node["cls"])
        return node

    def _without_user_code(self, node: Node) -> Node:
        bare = {key: value for key, value in node.items() if key != "serialization"}
        core = bare["schema"] if self._is_idle(bare) else bare
        kept = {"ref": node["ref"]} if "ref" in node else {}
        writer: Node | None = node.get("serialization")
        if writer and not (self.user(writer.get("function")) and writes_itself(core)):
            kept["serialization"] = {
                key: self.of(value) if key in CHILDREN else value for key, value in writer.items()
            }
        return {**core, **kept}

    def _is_idle(self, node: Node) -> bool:
        """Whether the node is a user's validator around something that is read without it."""
        if node["type"] not in WRAPPERS or not self.user(node["function"]["function"]):
            return False
        return node["schema"]["type"] != "any" and not contains(node["schema"], WITHOUT_JSON)
