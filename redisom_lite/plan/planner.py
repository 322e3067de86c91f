"""From what a query asks to what find.lua is told: clauses, access paths, order. Pure, and the same for every call.

An *access path* is one or more index reads whose union holds every record that the clauses it *covers* can match.
Which path drives is decided on the server, where the sizes are known; here every path that could is listed.

The order `None last` takes two phases: first the records that have a value (the walk of an index sees no others),
then, if the limit is not reached, those that have none, in key order. A *valued* path sees only the first kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Final, NamedTuple

from redisom_lite.plan.expression import (
    And,
    Condition,
    HasToken,
    IsNone,
    KeyIn,
    KeyRange,
    LexRange,
    Not,
    NumberIn,
    NumberRange,
    Or,
    Term,
    TextIn,
)
from redisom_lite.plan.normalize import NEVER, normalize, numbers_apart, texts_apart
from redisom_lite.plan.program import EVERYTHING, Instruction, composite, leaf, program
from redisom_lite.schema.model_schema import DEADLINE, CompositeSpec, FieldSpec, Kind, ModelSchema

KEY_ORDER: Final = "key"

LOADED: Final = 250
"""Records read by key in one go."""


def portions() -> Iterator[int]:
    """Records of everything to read in one go, one after the other: objects are made of each while the next is read."""
    size = _SOONEST
    while True:
        yield size
        # an object takes longer to make than its row to read, but not twice
        size = min(LOADED, size + size // 2)


def portion_count(rows: int) -> int:
    """In how many of these so many rows are."""
    return sum(1 for _ in takewhile(lambda read: read < rows, accumulate(portions(), initial=0)))


def together(limit: int | None) -> int:
    """How many rows a call that finds them also reads: a page whole; more rows are quicker read on their own."""
    return _PAGE if limit and limit <= _PAGE else _FEW


_PAGE: Final = 100
_FEW: Final = 24
_SOONEST: Final = 40


class Selection(NamedTuple):
    """What a query asks: conditions that all hold, an order (empty: by key), how many, after how many."""

    schema: ModelSchema
    where: tuple[Condition, ...] = ()
    order: tuple[Term, ...] = ()
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Path:
    """One way to the candidates.

    `ordered`: walking its one read gives the order asked for; `each`: every one of its reads does; `distinct`: no
    record is in two reads; `valued`: records whose order column is None are not in it. `index` is what it needs ready.
    """

    reads: tuple[Instruction, ...]
    covers: frozenset[int]
    label: str
    index: str = ""
    ordered: bool = False
    each: bool = False
    distinct: bool = True
    valued: bool = False


_EVERY_RECORD: Final = Path((EVERYTHING,), frozenset(), "every record by key")


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A selection, planned: clauses by position, the paths, the indexes it needs ready.

    `primary` is the first term of the order, None for the plain order by key.
    """

    selection: Selection
    clauses: tuple[Condition, ...]
    paths: tuple[Path, ...]
    indexes: frozenset[str]
    primary: Term | None = None

    @property
    def impossible(self) -> bool:
        return self.clauses == (NEVER,)

    @property
    def single(self) -> bool:
        """Whether one index (or the key) decides the order, ties by key in the same direction."""
        order = self.selection.order
        if len(order) < 2:
            return True
        return (
            len(order) == 2 and order[1].field.kind is Kind.KEY and order[0].descending == order[1].descending
        )

    def paths_for(self, *, every: bool) -> tuple[Path, ...]:
        """The paths worth weighing: `every` for the first records in order, else those that hold all answers.

        A path that reads nothing but answers, in the order asked for where there is one, cannot be beaten.
        """
        paths = self.paths if every else tuple(path for path in self.paths if not path.valued)
        for path in paths:
            if len(path.covers) == len(self.clauses) and (path.ordered if every else path.distinct):
                return (path,)
        return paths


def plan(selection: Selection) -> QueryPlan:
    """Plan a selection."""
    clauses = normalize(And(selection.where))
    primary = selection.order[0] if selection.order else None
    if primary is not None and primary.field.kind is Kind.KEY and not primary.descending:
        primary = None
    paths = [*_clause_paths(clauses), *_composite_paths(selection.schema, clauses, primary)]
    paths += _order_paths(clauses, primary)
    marked = tuple(_marked(path, clauses, primary) for path in paths)
    terms = [term.field for term in selection.order]
    return QueryPlan(selection, clauses, marked, _indexes(clauses, terms, marked), primary)


def _clause_paths(clauses: tuple[Condition, ...]) -> Iterable[Path]:
    for position, clause in enumerate(clauses):
        reads = _reads(clause)
        if reads is not None:
            exact = _exact(clause)
            covers = frozenset((position,)) if exact else frozenset[int]()
            yield Path(tuple(reads), covers, describe(clause), distinct=apart(clause))


def apart(clause: Condition) -> bool:
    """Whether the reads of a clause share no record."""
    match clause:
        case HasToken(spec, tokens):
            return len(tokens) == 1 or not spec.multiple
        case Or(items):
            return _apart(items)
        case And(items):
            drivers = sorted((item for item in items if _reads(item) is not None), key=_rank)
            return apart(drivers[0])
        case _:
            return True


def _apart(items: tuple[Condition, ...]) -> bool:
    """Whether alternatives are ranges of one column that do not overlap, or one list of its values; or its None."""
    fields = {
        item.field for item in items if isinstance(item, NumberRange | LexRange | NumberIn | TextIn | IsNone)
    }
    if len(fields) != 1:
        return False
    valued = [item for item in items if not isinstance(item, IsNone)]
    if len(valued) == 1:
        return isinstance(valued[0], NumberRange | LexRange | NumberIn | TextIn)
    numbers = [item for item in valued if isinstance(item, NumberRange)]
    texts = [item for item in valued if isinstance(item, LexRange)]
    if len(numbers) + len(texts) != len(valued):
        return False
    return numbers_apart(numbers) and texts_apart(texts)


def _reads(clause: Condition) -> list[Instruction] | None:
    """Index reads whose union holds whatever can match, or None where only a scan would."""
    match clause:
        case Not():
            return None
        case IsNone(spec) if spec.name == DEADLINE:
            return None
        case Or(items):
            found: list[Instruction] = []
            for item in items:
                reads = _reads(item)
                if reads is None:
                    return None
                found += reads
            return found
        case And(items):
            drivers = sorted((item for item in items if _reads(item) is not None), key=_rank)
            return _reads(drivers[0]) if drivers else None
        case _:
            return [leaf(clause)]


def _rank(clause: Condition) -> int:
    """Which conjunct of an alternative to read when only one can be: the likely smallest."""
    match clause:
        case KeyIn():
            return 0
        case HasToken(spec):
            return 1 if spec.kind is Kind.UNIQUE else 2
        case IsNone():
            return 5
        case NumberRange() | LexRange() | NumberIn() | TextIn() | KeyRange():
            return 3
        case _:
            return 4


def _exact(clause: Condition) -> bool:
    """Whether the reads of a clause hold nothing else."""
    return (
        all(_exact(item) for item in clause.items)
        if isinstance(clause, Or)
        else not isinstance(clause, And | Not)
    )


def _composite_paths(
    schema: ModelSchema, clauses: tuple[Condition, ...], primary: Term | None
) -> Iterable[Path]:
    for spec in schema.composites:
        for position, clause in enumerate(clauses):
            if isinstance(clause, HasToken) and clause.field.name == spec.tag:
                yield from _composite(schema, spec, clauses, position, clause, primary)


def _composite(
    schema: ModelSchema,
    spec: CompositeSpec,
    clauses: tuple[Condition, ...],
    position: int,
    tag: HasToken,
    primary: Term | None,
) -> Iterable[Path]:
    number = schema.by_name[spec.range]
    found = [(n, c) for n, c in enumerate(clauses) if isinstance(c, NumberRange) and c.field is number]
    ordered = primary is not None and primary.field is number
    if not found and not ordered:
        return
    covers = frozenset((position, *(n for n, _ in found)))
    bounds = found[0][1] if found else NumberRange(number, None, None)
    reads = tuple(composite(spec.tag, token, bounds) for token in tag.tokens)
    distinct = len(reads) == 1 or not tag.field.multiple
    label = f"composite {spec.tag}+{spec.range}"
    yield Path(reads, covers, label, f"{spec.tag}+{spec.range}", distinct=distinct, valued=not found)


def _order_paths(clauses: tuple[Condition, ...], primary: Term | None) -> Iterable[Path]:
    """Walk of the order's own index over everything, unless a clause reads that index already."""
    if primary is None or primary.field.kind is Kind.KEY:
        yield _EVERY_RECORD
        return
    spec = primary.field
    if not any(
        isinstance(clause, NumberRange | LexRange | NumberIn | TextIn) and clause.field is spec
        for clause in clauses
    ):
        whole = LexRange(spec, None, None) if spec.kind is Kind.TEXT else NumberRange(spec, None, None)
        yield Path((leaf(whole),), frozenset(), f"index {spec.name}", valued=True)
    yield _EVERY_RECORD


def _marked(path: Path, clauses: tuple[Condition, ...], primary: Term | None) -> Path:
    """Say whether the reads of a path come in the order asked for."""
    kinds = {read[0] for read in path.reads}
    if primary is None or primary.field.kind is Kind.KEY:
        each = kinds <= {b"A", b"R"}
    else:
        name = primary.field.name.encode()
        each = kinds <= {b"Z", b"C", b"L", b"N", b"M"} and all(read[1] == name for read in path.reads)
    if not each:
        return path
    return Path(
        path.reads,
        path.covers,
        path.label,
        path.index,
        len(path.reads) == 1,
        True,
        path.distinct,
        path.valued,
    )


def _indexes(
    clauses: tuple[Condition, ...], terms: list[FieldSpec], paths: tuple[Path, ...]
) -> frozenset[str]:
    names = {spec.name for spec in terms if spec.kind is not Kind.KEY}
    for clause in clauses:
        names |= _fields(clause)
    names |= {path.index for path in paths if path.index}
    return frozenset(names)


def _fields(condition: Condition) -> set[str]:
    match condition:
        case And(items) | Or(items):
            return {name for item in items for name in _fields(item)}
        case Not(item):
            return _fields(item)
        case KeyIn() | KeyRange():
            return set()
        case (
            NumberRange(spec) | LexRange(spec) | NumberIn(spec) | TextIn(spec) | HasToken(spec) | IsNone(spec)
        ):
            return {spec.name}
        case _:
            return set()


def describe(condition: Condition) -> str:
    """A condition in words for plans; operands are never shown."""
    match condition:
        case And(items):
            return "(" + " & ".join(describe(item) for item in items) + ")" if items else "always"
        case Or(items):
            return "(" + " | ".join(describe(item) for item in items) + ")" if items else "never"
        case Not(item):
            return "~" + describe(item)
        case NumberRange(spec, low, high):
            return f"range {spec.name}{_sides(low is not None, high is not None)}"
        case LexRange(spec, low, high):
            return f"text {spec.name}{_sides(low is not None, high is not None)}"
        case NumberIn(spec, values):
            return f"range {spec.name} any of {len(values)}"
        case TextIn(spec, texts):
            return f"text {spec.name} any of {len(texts)}"
        case HasToken(spec, tokens):
            count = "" if len(tokens) == 1 else f" any of {len(tokens)}"
            return f"{spec.kind.value} {spec.name}{count}"
        case IsNone(spec):
            return f"{spec.name} is None"
        case KeyIn(_, members):
            return f"{len(members)} key{'s' if len(members) != 1 else ''}"
        case KeyRange(_, low, high):
            return f"keys{_sides(low is not None, high is not None)}"
        case _:
            return type(condition).__name__


def _sides(low: bool, high: bool) -> str:
    return {(True, True): " between", (True, False): " from", (False, True): " up to"}.get((low, high), "")


def guard(where: tuple[Condition, ...]) -> list[bytes]:
    """A selection's conditions as one program, for a write to test each record once more.

    Never empty, for a guard also says that a record which has gone is no failure; conditions on the key cannot cease
    to hold and are left out.
    """
    return program(And(guard_clauses(where)))


def guard_clauses(where: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """What a guard tests."""
    return tuple(clause for clause in normalize(And(where)) if not isinstance(clause, KeyIn | KeyRange))
