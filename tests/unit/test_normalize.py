"""Conditions in the one shape the planner reads."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from redisom_lite import Key, Model, Range, Tag
from redisom_lite.plan.expression import And
from redisom_lite.plan.normalize import NEVER, normalize
from redisom_lite.plan.planner import Selection, describe, plan


class Tin(Model):
    id: Key[int]
    kind: Tag[str | None] = None
    tags: Tag[set[str]] = set()  # noqa: RUF012
    size: Range[int] = 0
    price: Range[Decimal | None] = None
    name: Range[str | None] = None


def shape(*conditions: Any) -> list[str]:
    return [describe(clause) for clause in normalize(And(conditions))]


@pytest.mark.parametrize(
    ("conditions", "clauses"),
    [
        ((), []),
        ((Tin.size > 3, Tin.size <= 9), ["range size between"]),
        ((Tin.size > 3, (Tin.size <= 9) & (Tin.kind == "a")), ["range size between", "tag kind"]),
        ((~(Tin.size > 3),), ["range size up to"]),
        ((~~(Tin.size > 3),), ["range size from"]),
        ((~(Tin.size.between(3, 9)),), ["~range size between"]),
        ((~(Tin.price < 3),), ["(range price from | price is None)"]),
        ((~(Tin.price < 3), ~Tin.price.is_none()), ["range price from"]),
        ((~(Tin.price < 3), Tin.price <= 9), ["range price between"]),
        ((~(Tin.name >= "b"),), ["(text name up to | name is None)"]),
        ((~Tin.name.is_none(), Tin.name < "b"), ["text name up to"]),
        ((~(Tin.kind == "a"),), ["~tag kind"]),
        ((~((Tin.kind == "a") | (Tin.size > 3)),), ["~tag kind", "range size up to"]),
        ((~((Tin.kind == "a") & (Tin.size > 3)),), ["(~tag kind | range size up to)"]),
        (((Tin.kind == "a") | (Tin.kind == "b") | (Tin.kind == "a"),), ["tag kind any of 2"]),
        ((Tin.size.in_([3, 1, 3, 7]), Tin.size < 5), ["range size any of 2"]),
        ((Tin.size.in_([3]),), ["range size between"]),
        ((Tin.tags.has_all(["a", "b"]),), ["tag tags", "tag tags"]),
        ((Tin.id.in_([1, 2, 3]), Tin.id.in_([3, 4])), ["1 key"]),
    ],
)
def test_conditions_become_clauses(conditions: Any, clauses: list[str]) -> None:
    assert shape(*conditions) == clauses


@pytest.mark.parametrize(
    "conditions",
    [
        (Tin.size > 3, Tin.size < 3),
        (Tin.size > 3, Tin.size <= 3),
        (~(Tin.size > 3), Tin.size > 3),
        (Tin.price.is_none(), Tin.price > 3),
        (~(Tin.price < 3), Tin.price < 3),
        (Tin.name < "a", Tin.name >= "b"),
        (Tin.kind.in_([]),),
        (Tin.size.in_([1, 2]), Tin.size > 5),
        (Tin.id == 1, Tin.id == 2),
        (~(Tin.size.in_([]) | ~Tin.size.in_([])),),
    ],
)
def test_what_cannot_match_is_known_without_data(conditions: Any) -> None:
    assert normalize(And(conditions)) == (NEVER,)
    assert plan(Selection(Tin.__redisom_schema__, conditions)).impossible


@pytest.mark.parametrize("condition", [~Tin.kind.in_([]), ~Tin.size.in_([]), Tin.tags.has_all([])])
def test_what_always_matches_leaves_no_clause(condition: Any) -> None:
    assert normalize(And((condition,))) == ()
