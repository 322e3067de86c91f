"""The text of plans, by snapshot, and their dicts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from redisom_lite import Composite, Key, Meta, Model, Range, Tag
from redisom_lite.plan.explain import explained
from redisom_lite.plan.planner import Selection, plan


class Tea(Model):
    meta = Meta(prefix="tea", indexes=[Composite("origin", "price")])

    id: Key[str]
    name: Range[str]
    kind: Tag[str]
    origin: Tag[str]
    price: Range[Decimal | None] = None


def planned(*where: Any, order: tuple[Any, ...] = (), limit: int | None = None) -> Any:
    return plan(Selection(Tea.__redisom_schema__, where, order, limit))


def test_walk_shows_driver_alternatives_filters_and_the_composite_that_would_help() -> None:
    query = planned(Tea.kind == "green", Tea.price < 5, order=(Tea.price.asc(),), limit=20)
    shown = explained(query, "W", 1, 10_000, (1000, 4000, 10_000), budget=4000)
    assert str(shown) == "\n".join(
        [
            "Tea: walk (walk the order's index, test, stop at the limit)",
            "  driver   range price up to: 4,000 of 10,000 records",
            "  or       tag kind: 1,000",
            "  or       every record by key: 10,000",
            "  filter   tag kind",
            "  order    price asc",
            "  limit    20, after 0",
            "  expect   200 entries examined, 1 round trip",
            '  warning  Composite("kind", "price") would answer this from one index',
        ]
    )


def test_declared_composite_is_the_driver_and_nothing_is_left_to_filter() -> None:
    query = planned(Tea.origin == "China", Tea.price < 5, order=(Tea.price.asc(),), limit=20)
    shown = explained(query, "W", 0, 10_000, (300,), budget=4000)
    assert str(shown) == "\n".join(
        [
            "Tea: walk (walk the order's index, test, stop at the limit)",
            "  driver   composite origin+price: 300 of 10,000 records",
            "  order    price asc",
            "  limit    20, after 0",
            "  expect   20 entries examined, 1 round trip",
        ]
    )


def test_impossible_conditions_make_no_call() -> None:
    shown = explained(planned(Tea.price < 5, Tea.price > 7), "-", 0, 0, (), budget=4000)
    assert shown.strategy == "nothing"
    assert shown.round_trips == 0


def test_negation_alone_and_several_terms_are_warned_about() -> None:
    query = planned(~(Tea.kind == "green"), order=(Tea.price.desc(), Tea.name.asc()), limit=3)
    shown = explained(query, "W", 0, 10_000, (9000, 10_000), budget=4000)
    assert shown.warnings == (
        "no condition narrows the search: every record is a candidate",
        "several order terms: sort keys are read for every tie of the first",
    )
    assert shown.to_dict()["order"] == ("price desc", "name asc")


def test_plans_never_show_operands() -> None:
    query = planned(Tea.kind == "s3cret", Tea.name.startswith("s3cret"), Tea.price == 77)
    assert "s3cret" not in str(explained(query, "S", 0, 10, (1, 2, 3, 4), budget=4000))
