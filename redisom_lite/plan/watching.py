"""Which index keys an answer depends on: what a transaction watches so that no newcomer goes unnoticed."""

from __future__ import annotations

from collections.abc import Iterable

from redisom_lite.codec import NONE_TOKEN
from redisom_lite.plan.expression import (
    And,
    Condition,
    HasToken,
    IsNone,
    KeyIn,
    LexRange,
    Not,
    NumberIn,
    NumberRange,
    Or,
    TextIn,
)
from redisom_lite.plan.planner import QueryPlan
from redisom_lite.schema.model_schema import DEADLINE, FieldSpec, Kind


def watched(plan: QueryPlan) -> list[bytes]:
    """Key suffixes: every index the conditions and the order read, and the registry where nothing narrower decides.

    A change of an equal double trips no WATCH on a sorted set; the exact values beside it (`:x:`) are written anew for
    that, so they are watched with it.
    """
    suffixes: dict[bytes, None] = {}
    for clause in plan.clauses:
        suffixes.update(dict.fromkeys(_of(clause)))
    for term in plan.selection.order:
        suffixes.update(dict.fromkeys(_order(term.field)))
    if not any(_bounds(clause) for clause in plan.clauses):
        suffixes[b":k"] = None
    return list(suffixes)


def _bounds(clause: Condition) -> bool:
    """Whether a record can only come to satisfy the clause by entering an index that is watched."""
    match clause:
        case Not():
            return False
        case And(items):
            return any(_bounds(item) for item in items)
        case Or(items):
            return all(_bounds(item) for item in items)
        case KeyIn():
            return False
        case _:
            return True


def _of(condition: Condition) -> Iterable[bytes]:
    match condition:
        case And(items) | Or(items):
            for item in items:
                yield from _of(item)
        case Not(item):
            yield from _of(item)
        case NumberRange(spec) | LexRange(spec) | NumberIn(spec) | TextIn(spec):
            yield from _order(spec)
        case HasToken(spec, tokens):
            name = spec.name.encode()
            if spec.kind is Kind.UNIQUE:
                yield b":u:" + name
            else:
                yield from (b":t:%b:%b" % (name, token) for token in tokens)
        case IsNone(spec) if spec.name == DEADLINE:
            yield from (b":k", b":due")
        case IsNone(spec):
            yield b":t:%b:%b" % (spec.name.encode(), NONE_TOKEN)
        case _:
            return


def _order(spec: FieldSpec) -> Iterable[bytes]:
    if spec.kind is Kind.KEY:
        return
    if spec.name == DEADLINE:
        yield b":due"
        return
    yield b":i:" + spec.name.encode()
    if spec.kind is Kind.NUMBER:
        yield b":x:" + spec.name.encode()
    if spec.nullable:
        yield b":t:%b:%b" % (spec.name.encode(), NONE_TOKEN)
