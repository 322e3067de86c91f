"""What is sent for a query whose shape was planned before, beside what planning it in full gives."""

from __future__ import annotations

import random
from functools import reduce
from operator import and_, or_
from typing import Any

import pytest

from redisom_lite.plan.expression import And
from redisom_lite.plan.planner import Selection, plan
from redisom_lite.plan.prepared import Prepared, prepare
from redisom_lite.plan.program import program
from redisom_lite.plan.shape import shape_of
from redisom_lite.plan.telling import telling
from redisom_lite.plan.wording import order_words, plan_words
from tests.property.asking import Asked, leaf, order, terms, tree
from tests.property.shelf import MODELS, things


def _put_together(prepared: Prepared, *, every: bool) -> list[bytes]:
    """The words of a plan that travels as one word and operands, as the server has them."""
    template, operands = prepared.words(every=every)
    if template is None:
        return list(operands)
    words = template.told.split(b"\1")[:-1]
    return [operands[int(word[1:]) - 1] if word.startswith(b"\2") else word for word in words]


def _sent(prepared: Prepared) -> dict[str, Any]:
    statement, told = prepared.statement, prepared.telling()
    return {
        "first": _put_together(prepared, every=True),
        "all": _put_together(prepared, every=False),
        "told": None if told is None else list(told),
        "program": list(prepared.program()),
        "order": statement.order,
        "indexes": statement.indexes,
        "impossible": statement.impossible,
        "single": statement.single,
        "primary": statement.primary,
    }


def _planned(selection: Selection) -> dict[str, Any]:
    planned = plan(selection)
    return {
        "first": plan_words(planned, every=True),
        "all": plan_words(planned, every=False),
        "told": telling(planned),
        "program": program(And(planned.clauses)),
        "order": order_words(planned.primary),
        "indexes": planned.indexes,
        "impossible": planned.impossible,
        "single": planned.single,
        "primary": planned.primary,
    }


def _few_columns(model: Any, rng: random.Random, pks: list[Any]) -> Any:
    """A condition that asks one or two columns several things."""
    by_column: dict[str, list[Asked]] = {}
    for asked in [leaf(model, rng, pks) for _ in range(60)]:
        by_column.setdefault(asked.text.split()[0], []).append(asked)
    columns = rng.sample(sorted(by_column), rng.randint(1, 2))
    conditions = [asked.condition for column in columns for asked in by_column[column]]
    rng.shuffle(conditions)
    chosen = [~each if rng.random() < 0.2 else each for each in conditions[: rng.randint(2, 4)]]
    return reduce(lambda one, other: rng.choice((and_, or_))(one, other), chosen)


@pytest.mark.parametrize("model", MODELS)
def test_what_is_sent_is_what_planning_in_full_gives(model: Any) -> None:
    rng = random.Random(7)
    shaped = 0
    for _ in range(12):
        pks = [each.id for each in things(model, rng, 12)]
        for _ in range(150):
            where = [tree(model, rng, pks, 2).condition for _ in range(rng.randint(0, 2))]
            where += [_few_columns(model, rng, pks)] if rng.random() < 0.5 else []
            selection = Selection(model.__redisom_schema__, tuple(where), tuple(terms(model, order(rng))))
            assert _sent(prepare(selection)) == _planned(selection)
            shaped += shape_of(*selection[:3]) is not None
    assert shaped > 600


def test_queries_that_differ_in_operands_alone_are_planned_once() -> None:
    model: Any = MODELS[0]

    def statement(*where: Any) -> object:
        return prepare(Selection(model.__redisom_schema__, where)).statement

    assert statement(model.t == "a", model.n > 5) is statement(model.t == "b", model.n > -(10**9))
    assert statement(model.n.between(1, 5)) is statement(model.n.between(2, 3))
    assert statement(model.n.between(1, 5)) is not statement(model.n.between(3, 3))
    assert statement(model.n > 5, model.n < 9) is not statement(model.n > 9, model.n < 5)
    assert statement(model.t.in_(["b", "a"])) is statement(model.t.in_(["a", "b"]))
    assert statement(model.n > 5) is not statement(model.n > 2**53 + 1)  # more than its double tells
    assert statement(model.n > 5) is not statement(model.n >= 5)


def test_operands_that_look_like_marks_are_sent_as_they_are() -> None:
    model: Any = MODELS[0]
    odd = "\x020000e\x03"
    for where in ((model.text == odd,), (model.text.startswith(odd), model.text > odd), (model.t == odd,)):
        selection = Selection(model.__redisom_schema__, where)
        assert _sent(prepare(selection)) == _planned(selection)
