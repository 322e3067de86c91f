"""Counts that cardinalities alone answer, as tell.lua reads them: one path, exact bounds, no record twice."""

from __future__ import annotations

from redisom_lite.plan.planner import QueryPlan
from redisom_lite.plan.program import Instruction


def telling(query: QueryPlan) -> list[bytes] | None:
    """The keys whose inexact values would spoil the count, then the reads, each list counted; None for others."""
    paths = query.paths_for(every=False)
    if len(paths) != 1 or len(paths[0].covers) != len(query.clauses):
        return None
    path = paths[0]
    if len(path.reads) > 1 and not path.distinct:
        return None
    spoilers: dict[bytes, None] = {}
    words: list[bytes] = []
    count = 0
    for read in path.reads:
        told = _told(read, distinct=path.distinct)
        if told is None:
            return None
        spoiler, reads = told
        if spoiler:
            spoilers[spoiler] = None
        for one in reads:
            words += one
            count += 1
    return [b"%d" % len(spoilers), *spoilers, b"%d" % count, *words]


def _told(read: Instruction, *, distinct: bool) -> tuple[bytes, list[tuple[bytes, ...]]] | None:
    """The key that must not exist, and the reads of one instruction; None for what takes more than counting."""
    match read:
        case (b"A",):
            return b"", [(b"k",)]
        case (b"Z", field, low, high, low_open, high_open, _, _, b"0", b"0") if not high.startswith(b"+"):
            bounds = (_side(low, low_open), _side(high, high_open))
            return b":x:" + field, [(b"z", b":i:" + field, *bounds)]
        case (b"C", field, key, low, high, low_open, high_open, _, _, b"0", b"0"):
            return b":x:" + field, [(b"z", key, _side(low, low_open), _side(high, high_open))]
        case (b"R", low, high):
            return b"", [(b"l", b":k", low, high)]
        case (b"L", field, low, high):
            return b"", [(b"l", b":i:" + field, low, high)]
        case (b"S", _, *tokens, field) if len(tokens) == 1 or distinct:
            return b"", [(b"s", b":t:%b:%b" % (field, token)) for token in tokens]
        case _:
            return None


def _side(bound: bytes, is_open: bytes) -> bytes:
    return b"(" + bound if is_open == b"1" else bound
