"""Queries that list thousands of values, cut into slices."""

from __future__ import annotations

from typing import Any

from redisom_lite import Composite, Field, Key, Meta, Model, Range, Tag
from redisom_lite.plan.explain import explained
from redisom_lite.plan.expression import (
    HasToken,
    IsNone,
    KeyIn,
    KeyRange,
    LexRange,
    Not,
    NumberIn,
    NumberRange,
)
from redisom_lite.plan.planner import Selection
from redisom_lite.plan.prepared import Prepared, prepare
from redisom_lite.plan.slicing import LONGEST, are_apart, is_cut, slice_count, slices


class Leaf(Model):
    meta = Meta(prefix="leaf", indexes=[Composite("kind", "size")])

    id: Key[int]
    size: Range[int]
    kind: Tag[str]
    marks: Tag[set[str]]
    name: Range[str | None] = Field(default=None)


def prepared(*where: Any) -> Prepared:
    return prepare(Selection(Leaf.__redisom_schema__, where))


def test_short_lists_and_no_lists_stay_whole() -> None:
    for query in (
        prepared(),
        prepared(Leaf.id.in_(range(LONGEST))),
        prepared(Leaf.size.in_(range(LONGEST))),
    ):
        assert not is_cut(query)
        assert are_apart(query)


def test_long_list_of_keys_is_cut_into_parts_that_hold_each_key_once() -> None:
    query = prepared(Leaf.id.in_(range(20_000)), Leaf.kind == "a")
    parts = [part.clauses for part in slices(query)]
    assert is_cut(query)
    assert len(parts) == slice_count(query.planned) == 20
    assert {clauses[1] for clauses in parts} == {query.clauses[1]}
    listed: list[bytes] = []
    for key_in, _ in parts:
        assert isinstance(key_in, KeyIn)
        assert len(key_in.members) <= LONGEST
        listed += key_in.members
    (whole,) = (clause for clause in query.clauses if isinstance(clause, KeyIn))
    assert tuple(listed) == whole.members


def test_keys_that_another_partition_holds_are_not_asked_for() -> None:
    query = prepared(Leaf.id.in_(range(2 * LONGEST)))
    codec = Leaf.__redisom_schema__.key.codec
    few = {codec.member(7), codec.member(9)}
    (only,) = slices(query, few.__contains__)
    found = [clause.members for clause in only.clauses if isinstance(clause, KeyIn)]
    assert found == [(codec.member(7), codec.member(9))]
    assert list(slices(query, set[bytes]().__contains__)) == []


def test_two_long_lists_are_asked_for_in_every_combination() -> None:
    query = prepared(Leaf.id.in_(range(2 * LONGEST)), Leaf.size.in_(range(2 * LONGEST)))
    sizes = [
        (len(clauses[0].members), len(clauses[1].values))
        for clauses in (part.clauses for part in slices(query))
        if isinstance(clauses[0], KeyIn) and isinstance(clauses[1], NumberIn)
    ]
    assert sizes == [(LONGEST, LONGEST)] * 4


def test_a_record_may_be_in_two_slices_only_where_it_holds_several_values() -> None:
    many = [str(n) for n in range(LONGEST + 1)]
    assert are_apart(prepared(Leaf.kind.in_(many)))
    several = prepared(Leaf.marks.has_any(many))
    assert not are_apart(several)
    assert all(isinstance(part.clauses[0], HasToken) for part in slices(several))


def test_excluded_values_are_cut_where_they_have_an_order() -> None:
    for condition, ranges in (
        (~Leaf.size.in_(range(3 * LONGEST)), NumberRange),
        (~Leaf.name.in_([str(n) for n in range(3 * LONGEST)]), LexRange),
        (~Leaf.id.in_(range(3 * LONGEST)), KeyRange),
    ):
        query = prepared(condition)
        assert is_cut(query)
        assert are_apart(query)
        *parts, last = (part.clauses for part in slices(query))
        if ranges is LexRange:  # what may be None
            assert last == (IsNone(Leaf.name.field),)
        else:
            parts.append(last)
        assert len(parts) == 3
        for clauses in parts:
            assert sorted(map(type, clauses), key=str) == sorted((ranges, Not), key=str)
    assert not is_cut(prepared(~Leaf.kind.in_([str(n) for n in range(3 * LONGEST)])))


def test_alternatives_are_cut_into_groups() -> None:
    query = prepared(Leaf.id.in_(range(2 * LONGEST)) | (Leaf.size > 3) | (Leaf.kind == "a"))
    assert is_cut(query)
    assert not are_apart(query)
    assert len(list(slices(query))) == slice_count(query.planned) == 3
    apart = prepared(Leaf.name.in_([None, *map(str, range(2 * LONGEST))]))
    assert is_cut(apart)
    assert are_apart(apart)


def test_a_list_of_tags_that_a_composite_reads_one_by_one_is_cut_smaller() -> None:
    tags = Leaf.kind.in_([str(n) for n in range(LONGEST)])
    assert not is_cut(prepared(tags))
    assert slice_count(prepared(tags, Leaf.size > 3).planned) == 8


def test_plan_counts_a_round_trip_for_each_slice() -> None:
    query = prepared(Leaf.id.in_(range(20_000)))
    assert explained(query.planned, "S", 0, 100_000, (20_000,), budget=4000).round_trips >= 20
