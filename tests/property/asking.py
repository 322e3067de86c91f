"""Random queries, each in two languages: the library's, and a predicate and a sort over a plain list."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from tests.property.shelf import MULTI, NUMBERS, TAGS, VALUES, value

Predicate = Callable[[Any], bool]

_EPOCH = datetime(1970, 1, 1)


def place(name: str, stored: Any) -> Any:
    """What a value is compared by: itself, moments by what they are in UTC (a naive one counts as UTC)."""
    if isinstance(stored, datetime):
        return stored.replace(tzinfo=None) - _EPOCH - (stored.utcoffset() or timedelta())
    if isinstance(stored, time):
        since = timedelta(hours=stored.hour, minutes=stored.minute, seconds=stored.second)
        return since + timedelta(microseconds=stored.microsecond) - (stored.utcoffset() or timedelta())
    return stored


@dataclass(frozen=True)
class Asked:
    """A condition, its meaning, and its text."""

    condition: Any
    holds: Predicate
    text: str


def leaf(model: Any, rng: random.Random, pks: list[Any]) -> Asked:
    """A random comparison of one column."""
    names = [*NUMBERS, "text", *TAGS, *MULTI, "id"]
    if "u" in model.model_fields:
        names += ["u", "ui"]
    name = rng.choice(names)
    column = getattr(model, name)
    if name == "id":
        return _key(column, rng, pks)
    if name in MULTI:
        return _multi(column, name, rng)
    if name in NUMBERS or name == "text":
        return _range(column, name, rng)
    return _token(column, name, rng)


def _key(column: Any, rng: random.Random, pks: list[Any]) -> Asked:
    chosen = rng.sample(pks, min(len(pks), rng.randint(0, 8)))
    if chosen and rng.random() < 0.5:
        one = chosen[0]
        if rng.random() < 0.7:
            return Asked(column == one, lambda o: o.id == one, f"id == {one!r}")
        return Asked(column != one, lambda o: o.id != one, f"id != {one!r}")
    return Asked(column.in_(chosen), lambda o: o.id in chosen, f"id in {chosen!r}")


def _operand(name: str, rng: random.Random) -> Any:
    while True:
        found = value(name, rng)
        if found is not None:
            break
    if name in ("f", "d") and rng.random() < 0.2:
        return rng.choice([0, 1, 10**23, 2**53 + 1, 10**400, -(10**400), 7])
    return found


def _range(column: Any, name: str, rng: random.Random) -> Asked:
    kind = rng.choice(
        ["==", "!=", "<", "<=", ">", ">=", "between", "in", "none", "prefix" if name == "text" else "between"]
    )
    if name == "small" and kind == "none":
        kind = "=="
    a, b = _operand(name, rng), _operand(name, rng)
    pa, pb = place(name, a), place(name, b)

    def at(o: Any) -> Any:
        return place(name, getattr(o, name))

    def valued(test: Callable[[Any], bool]) -> Predicate:
        return lambda o: getattr(o, name) is not None and test(at(o))

    text = f"{name} {kind} {a!r}"
    match kind:
        case "==":
            return Asked(column == a, valued(lambda v: v == pa), text)
        case "!=":
            return Asked(column != a, lambda o: getattr(o, name) is None or at(o) != pa, text)
        case "<":
            return Asked(column < a, valued(lambda v: v < pa), text)
        case "<=":
            return Asked(column <= a, valued(lambda v: v <= pa), text)
        case ">":
            return Asked(column > a, valued(lambda v: v > pa), text)
        case ">=":
            return Asked(column >= a, valued(lambda v: v >= pa), text)
        case "none":
            if rng.random() < 0.5:
                return Asked(column == None, lambda o: getattr(o, name) is None, text)  # noqa: E711
            return Asked(column.is_none(), lambda o: getattr(o, name) is None, text)
        case "in":
            several = [_operand(name, rng) for _ in range(rng.choice([0, 1, 2, 4, 12, 150]))]
            none = name != "small" and rng.random() < 0.3
            places = [place(name, one) for one in several]
            return Asked(
                column.in_([*several, None] if none else several),
                lambda o: none if getattr(o, name) is None else at(o) in places,
                f"{name} in {several!r} none={none}",
            )
        case "prefix":
            start = a[: rng.randint(0, len(a))]
            return Asked(
                column.startswith(start),
                valued(lambda v: v.startswith(start)),
                f"{name} startswith {start!r}",
            )
        case _:
            if pb < pa and rng.random() < 0.7:
                a, b, pa, pb = b, a, pb, pa
            bounds = rng.choice(["[]", "[)", "(]", "()"])
            return Asked(
                column.between(a, b, bounds=bounds),
                valued(
                    lambda v: (
                        (v > pa or (v == pa and bounds[0] == "["))
                        and (v < pb or (v == pb and bounds[1] == "]"))
                    )
                ),
                f"{name} between {bounds} {a!r} {b!r}",
            )


def _token(column: Any, name: str, rng: random.Random) -> Asked:
    kind = rng.choice(["==", "!=", "in", "in", "not in", "none"])
    a = _operand(name, rng)
    several = [_operand(name, rng) for _ in range(rng.randint(0, 4))]
    none = rng.random() < 0.3

    def member(o: Any) -> bool:
        stored = getattr(o, name)
        return none if stored is None else stored in several

    match kind:
        case "==":
            return Asked(column == a, lambda o: getattr(o, name) == a, f"{name} == {a!r}")
        case "!=":
            return Asked(column != a, lambda o: getattr(o, name) != a, f"{name} != {a!r}")
        case "none":
            return Asked(column.is_none(), lambda o: getattr(o, name) is None, f"{name} none")
        case "in":
            return Asked(
                column.in_([*several, None] if none else several),
                member,
                f"{name} in {several!r} none={none}",
            )
        case _:
            listed = [*several, None] if none else several
            negated = column.not_in(listed) if name in TAGS else ~column.in_(listed)
            return Asked(negated, lambda o: not member(o), f"{name} not in {several!r} none={none}")


def _multi(column: Any, name: str, rng: random.Random) -> Asked:
    kind = rng.choice(["has", "any", "all", "none"])
    a = rng.choice(VALUES[name])
    several = rng.sample(VALUES[name], rng.randint(0, 3))

    def held(o: Any) -> Any:
        return getattr(o, name) or ()

    match kind:
        case "has":
            return Asked(column.has(a), lambda o: a in held(o), f"{name} has {a!r}")
        case "any":
            return Asked(
                column.has_any(several),
                lambda o: any(s in held(o) for s in several),
                f"{name} any {several!r}",
            )
        case "all":
            return Asked(
                column.has_all(several),
                lambda o: all(s in held(o) for s in several),
                f"{name} all {several!r}",
            )
        case _:
            return Asked(column.is_none(), lambda o: getattr(o, name) is None, f"{name} none")


def tree(model: Any, rng: random.Random, pks: list[Any], depth: int = 3) -> Asked:
    """A random expression."""
    kind = rng.random()
    if depth == 0 or kind < 0.35:
        return leaf(model, rng, pks)
    one = tree(model, rng, pks, depth - 1)
    if kind < 0.5:
        return Asked(~one.condition, lambda o: not one.holds(o), f"~({one.text})")
    other = tree(model, rng, pks, depth - 1)
    if kind < 0.8:
        both = one.condition & other.condition
        return Asked(both, lambda o: one.holds(o) and other.holds(o), f"({one.text} & {other.text})")
    either = one.condition | other.condition
    return Asked(either, lambda o: one.holds(o) or other.holds(o), f"({one.text} | {other.text})")


@dataclass(frozen=True)
class Term:
    """One term of an order."""

    name: str
    descending: bool


def order(rng: random.Random) -> list[Term]:
    """No term to three, on different columns."""
    names = rng.sample([*NUMBERS, "text", "id", "small", "n", "d"], rng.choice([0, 0, 1, 1, 1, 2, 3]))
    return [Term(name, rng.random() < 0.5) for name in dict.fromkeys(names)]


def terms(model: Any, wanted: list[Term]) -> list[Any]:
    """The terms as the library takes them; ascending ones now and then as bare columns."""
    return [getattr(model, t.name).desc() if t.descending else getattr(model, t.name).asc() for t in wanted]


def arranged(objects: list[Any], wanted: list[Term]) -> list[Any]:
    """The objects in order: None last either way, ties by key in the direction of the last term."""
    ordered = sorted(objects, key=lambda o: o.id, reverse=bool(wanted) and wanted[-1].descending)
    for term in reversed(wanted):
        valued = [o for o in ordered if getattr(o, term.name) is not None]
        valued.sort(key=lambda o, name=term.name: place(name, getattr(o, name)), reverse=term.descending)
        ordered = valued + [o for o in ordered if getattr(o, term.name) is None]
    return ordered
