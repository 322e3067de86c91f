"""Selections ready to be sent: planned once for each shape, with the operands filled in.

`prepare` gives for any selection just the words that planning it in full gives (`tests/property/test_prepared.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Final

from redisom_lite.plan.expression import And, Condition
from redisom_lite.plan.marks import Template, marked
from redisom_lite.plan.matching import Test, fields_of, test_of
from redisom_lite.plan.normalize import normalize
from redisom_lite.plan.planner import Path, QueryPlan, Selection, plan
from redisom_lite.plan.program import program
from redisom_lite.plan.shape import Operand, Shape, shape_of
from redisom_lite.plan.telling import telling
from redisom_lite.plan.wording import order_words, plan_words
from redisom_lite.schema.model_schema import DEADLINE
from redisom_lite.words import Words, packed

_KEPT: Final = 1024
_SIGNATURE: Final = 8  # bytes
_NONE: Final[Mapping[bytes, int]] = {}


class Statement:
    """A plan as words for the server, with holes for operands; each kind of words made when first asked for."""

    def __init__(self, planned: QueryPlan, marks: Mapping[bytes, int] = _NONE) -> None:
        self._planned = planned
        self._marks = marks
        self.impossible = planned.impossible
        self.single = planned.single
        self.primary = planned.primary
        self.indexes = planned.indexes
        self.order = order_words(planned.primary)
        fields = {field for clause in planned.clauses for field in fields_of(clause)}
        fields.update(term.field for term in planned.selection.order)
        self.timed = any(field.name == DEADLINE for field in fields)
        """Whether it is about the deadlines of records, which no row tells."""

    @cached_property
    def first(self) -> Template:
        return Template(plan_words(self._planned, every=True), self._marks)

    @cached_property
    def all(self) -> Template:
        return Template(plan_words(self._planned, every=False), self._marks)

    @cached_property
    def told(self) -> Template | None:
        words = telling(self._planned)
        return None if words is None else Template(words, self._marks)

    @cached_property
    def program(self) -> Template:
        return Template(program(And(self._planned.clauses)), self._marks)


class Prepared:
    """A selection, and what to send for it."""

    __slots__ = (
        "_clauses",
        "_operands",
        "_planned",
        "_signature",
        "_test",
        "selection",
        "shared",
        "statement",
    )

    def __init__(
        self,
        selection: Selection,
        statement: Statement,
        operands: Sequence[Operand] = (),
        planned: QueryPlan | None = None,
    ) -> None:
        self.selection = selection
        self.statement = statement
        self._operands = operands
        self._planned = planned
        self.shared = planned is None
        """Whether its plan is that of a shape, which has but a few operands."""
        self._clauses: tuple[Condition, ...] | None = None
        self._test: Test | None = None
        self._signature = b""

    @property
    def planned(self) -> QueryPlan:
        """The plan with its operands, which few need: it is made when first asked for."""
        if self._planned is None:
            self._planned = plan(self.selection)
        return self._planned

    @property
    def clauses(self) -> tuple[Condition, ...]:
        """The clauses of the plan, without the rest of it."""
        if self._clauses is None:
            known = self._planned
            self._clauses = normalize(And(self.selection.where)) if known is None else known.clauses
        return self._clauses

    @property
    def test(self) -> Test:
        """The conditions as a test of rows."""
        if self._test is None:
            self._test = test_of(self.selection.schema, self.clauses)
        return self._test

    @property
    def signature(self) -> bytes:
        """What tells it from others: model, order and conditions."""
        if not self._signature:
            schema, _, order, *_ = self.selection
            terms = [b"%b %d" % (term.field.word, term.descending) for term in order]
            words = b"".join([packed(schema.prefix.encode(), *terms), *self.program().pieces])
            self._signature = blake2b(words, digest_size=_SIGNATURE).digest()
        return self._signature

    def cut(self, limit: int, offset: int) -> Prepared:
        """The same conditions and order, of `limit` records behind `offset` others."""
        selection = self.selection._replace(limit=limit, offset=offset)
        planned = None if self.shared else replace(self.planned, selection=selection)
        return Prepared(selection, self.statement, self._operands, planned)

    def words(self, *, every: bool) -> tuple[Template | None, Words]:
        """Clauses and paths as find.lua reads them: `every` for the first records in order, else for all.

        The plan of the shape and the operands; where there is no shape, None and everything.
        """
        template = self.statement.first if every else self.statement.all
        if self.shared:
            return template, template.operands(self._operands)
        return None, template.filled(self._operands)

    def telling(self) -> Words | None:
        """What tell.lua reads to count, or None."""
        template = self.statement.told
        return None if template is None else template.filled(self._operands)

    def program(self) -> Words:
        """The conditions as one program."""
        return self.statement.program.filled(self._operands)

    def narrowed(self, path: Path) -> Prepared:
        """The same conditions, of what this path reads."""
        planned = replace(self.planned, paths=(path,))
        return Prepared(self.selection, Statement(planned), planned=planned)


def prepare(selection: Selection) -> Prepared:
    """Plan a selection, or take the plan of its shape."""
    shaped = shape_of(selection.schema, selection.where, selection.order)
    if shaped is None:
        planned = plan(selection)
        return Prepared(selection, Statement(planned), planned=planned)
    shape, operands = shaped
    return Prepared(selection, _statement(shape), operands)


@lru_cache(_KEPT)
def _statement(shape: Shape) -> Statement:
    where, marks = marked(shape)
    return Statement(plan(Selection(shape.schema, where, shape.order)), marks)
