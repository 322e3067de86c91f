"""Queries that list thousands of values, cut into slices."""

from __future__ import annotations

from typing import Any

from redisom_lite import Key, Meta, Model, Range, Tag
from redisom_lite.plan.explain import explained
from redisom_lite.plan.expression import HasToken, KeyIn, NumberIn
from redisom_lite.plan.planner import Selection
from redisom_lite.plan.prepared import Prepared, prepare
from redisom_lite.plan.slicing import KEYS, LONGEST, are_apart, is_cut, slice_count, slices


class Leaf(Model):
    meta = Meta(prefix="leaf")

    id: Key[int]
    size: Range[int]
    kind: Tag[str]
    marks: Tag[set[str]]


def prepared(*where: Any) -> Prepared:
    return prepare(Selection(Leaf.__redisom_schema__, where))


def test_short_lists_and_no_lists_stay_whole() -> None:
    for query in (
        prepared(),
        prepared(Leaf.id.in_(range(KEYS))),
        prepared(Leaf.size.in_(range(LONGEST // 3))),
    ):
        assert not is_cut(query)
        assert are_apart(query)


def test_long_list_of_keys_is_cut_into_parts_that_hold_each_key_once() -> None:
    query = prepared(Leaf.id.in_(range(20_000)), Leaf.kind == "a")
    parts = [part.clauses for part in slices(query)]
    assert is_cut(query)
    assert len(parts) == slice_count(query.clauses) == 20
    assert {clauses[1] for clauses in parts} == {query.clauses[1]}
    listed: list[bytes] = []
    for key_in, _ in parts:
        assert isinstance(key_in, KeyIn)
        assert len(key_in.members) <= KEYS
        listed += key_in.members
    (whole,) = (clause for clause in query.clauses if isinstance(clause, KeyIn))
    assert tuple(listed) == whole.members


def test_keys_that_another_partition_holds_are_not_asked_for() -> None:
    query = prepared(Leaf.id.in_(range(2 * KEYS)))
    codec = Leaf.__redisom_schema__.key.codec
    few = {codec.member(7), codec.member(9)}
    (only,) = slices(query, few.__contains__)
    found = [clause.members for clause in only.clauses if isinstance(clause, KeyIn)]
    assert found == [(codec.member(7), codec.member(9))]
    assert list(slices(query, set[bytes]().__contains__)) == []


def test_two_long_lists_are_asked_for_in_every_combination() -> None:
    query = prepared(Leaf.id.in_(range(2 * KEYS)), Leaf.size.in_(range(2 * (LONGEST // 3))))
    sizes = [
        (len(clauses[0].members), len(clauses[1].values))
        for clauses in (part.clauses for part in slices(query))
        if isinstance(clauses[0], KeyIn) and isinstance(clauses[1], NumberIn)
    ]
    assert sizes == [(KEYS, LONGEST // 3)] * 4


def test_a_record_may_be_in_two_slices_only_where_it_holds_several_values() -> None:
    many = [str(n) for n in range(LONGEST + 1)]
    assert are_apart(prepared(Leaf.kind.in_(many)))
    several = prepared(Leaf.marks.has_any(many))
    assert not are_apart(several)
    assert all(isinstance(part.clauses[0], HasToken) for part in slices(several))


def test_excluded_values_travel_whole() -> None:
    assert not is_cut(prepared(~Leaf.id.in_(range(2 * KEYS))))


def test_plan_counts_a_round_trip_for_each_slice() -> None:
    query = prepared(Leaf.id.in_(range(20_000)))
    assert explained(query.planned, "S", 0, 100_000, (20_000,), budget=4000).round_trips >= 20
