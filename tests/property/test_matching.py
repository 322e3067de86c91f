"""What the reader says of a row by itself, beside what the condition means."""

from __future__ import annotations

import random
from typing import Any

import pytest

from redisom_lite.plan.expression import NumberRange
from redisom_lite.plan.matching import UnclearError, fields_of, test_of as matching
from redisom_lite.plan.normalize import normalize
from redisom_lite.schema.mutations import encode_row
from tests.property.asking import tree
from tests.property.shelf import MODELS, things


def _row(model: Any, made: Any) -> tuple[bytes, list[bytes | None]]:
    schema = model.__redisom_schema__
    row = encode_row(schema, vars(made))
    nulls = b",".join(spec.word for spec in schema.fields if row[spec.position] is None)
    return schema.key.codec.member(made.id), [*row, nulls or None]


@pytest.mark.parametrize("model", MODELS)
def test_a_row_is_judged_as_the_condition_means(model: Any) -> None:
    rng = random.Random(41)
    for _ in range(12):
        made = things(model, rng, 30)
        rows = [_row(model, each) for each in made]
        for _ in range(60):
            asked = tree(model, rng, [each.id for each in made])
            holds = matching(model.__redisom_schema__, normalize(asked.condition))
            assert [holds(*row) for row in rows] == [asked.holds(each) for each in made], asked.text


def test_what_a_row_does_not_tell_is_unclear() -> None:
    model = MODELS[0]
    schema = model.__redisom_schema__
    (clause,) = normalize(model.n > 5)
    assert isinstance(clause, NumberRange)
    assert fields_of(clause) == {schema.by_name["n"]}
    holds = matching(schema, [clause])
    position, width = schema.by_name["n"].position, len(schema.fields)
    row: list[bytes | None] = [None] * (width + 1)
    with pytest.raises(
        UnclearError
    ):  # the record lacks the field: its default, or an index made of it, decides
        holds(b"a", row)
    row[width] = b"f,n"
    assert holds(b"a", row) is False
    row[position] = b"no number"
    with pytest.raises(UnclearError):
        holds(b"a", row)
