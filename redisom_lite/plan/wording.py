"""The clauses, paths and order of a plan as find.lua reads them."""

from __future__ import annotations

from typing import Final

from redisom_lite.plan.expression import Term
from redisom_lite.plan.planner import QueryPlan
from redisom_lite.plan.program import Instruction, compiled
from redisom_lite.schema.model_schema import Kind

_REFERENCE: Final = 2  # words


def order_words(primary: Term | None) -> tuple[bytes, bytes, bytes]:
    """kind field descending"""
    if primary is None:
        return (b"k", b"", b"0")
    kind = {Kind.KEY: b"k", Kind.TEXT: b"l"}.get(primary.field.kind, b"z")
    return (kind, primary.field.word, _flag(primary.descending))


def plan_words(query: QueryPlan, *, every: bool) -> list[bytes]:
    """Clauses and paths; without `every`, only paths that hold all records."""
    words = [b"%d" % len(query.clauses)]
    paths = query.paths_for(every=every)
    told: dict[Instruction, bytes] = {}
    for position, clause in enumerate(query.clauses):
        # what every path covers is never tested
        if all(position in path.covers for path in paths):
            words.append(b"0")
            continue
        instructions = compiled(clause)
        words += (b"%d" % len(instructions), *(word for each in instructions for word in each))
        if len(instructions) == 1 and len(instructions[0]) > _REFERENCE:
            told[instructions[0]] = b"%d" % (position + 1)
    words.append(b"%d" % len(paths))
    for path in paths:
        words += (_flag(path.ordered), _flag(path.each), _flag(path.distinct), _flag(path.valued))
        words += (b"%d" % len(path.covers), *(b"%d" % (clause + 1) for clause in sorted(path.covers)))
        words.append(b"%d" % len(path.reads))
        for read in path.reads:
            words += (b"=", told[read]) if read in told else read
    return words


def _flag(value: bool) -> bytes:
    return b"1" if value else b"0"
