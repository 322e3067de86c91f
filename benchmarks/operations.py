"""What is measured: each operation a method of the contenders, its arguments, and whether an answer is right.

Whoever calls numbers the calls; numbers below 0 are for comparing and counting, the rest for timing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.flight import PlainFlight
from benchmarks.table import Table

Args = list[Any]
TTL = 3600


def _nothing(answer: Any) -> bool:
    return answer is None


@dataclass(frozen=True, slots=True)
class After:
    """A method to call after the operation, its arguments, and whether its answer is right."""

    method: str
    args: Callable[[int], Args]
    right: Callable[[int, Any], bool]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing to do."""

    name: str
    method: str
    args: Callable[[int], Args]
    right: Callable[[Any], bool] = _nothing
    samples: int = 200
    before: tuple[str, Callable[[int], Args]] | None = None
    """What to do first, outside the time: a method and its arguments."""
    after: tuple[After, ...] = ()
    """What the operation must have done."""
    goal: float | None = None
    """The ratio of time to hand-written redis-py that is aimed at."""


def reads(table: Table, carrier: str = "UA", rare: str = "F9") -> list[Operation]:
    """Operations that leave everything as it is."""

    def fixed(*args: Any) -> Callable[[int], Args]:
        return lambda n: list(args)

    def late(line: Any) -> bool:
        return line.dep_delay is not None and line.dep_delay > 30

    def delay(line: Any) -> int:
        return int(line.dep_delay)

    def ranged(wanted: int) -> tuple[Callable[[int], Args], Callable[[Any], bool]]:
        low, high = table.bounds(wanted)
        inside = lambda line: line.dep_delay is not None and low <= line.dep_delay <= high  # noqa: E731
        return fixed(low, high), table.any_order(inside)

    thousand = list(range(min(1000, len(table.lines))))
    each = thousand[:200]
    prefix = table.prefix(100)
    flown = sum(1 for line in table.lines if line.carrier == carrier and line.dep_delay is not None)
    pages = min(50, flown // 20)
    return [
        Operation(
            "get", "get", lambda n: [abs(n) * 7 % len(thousand)], lambda a: isinstance(a, int), goal=1.00
        ),
        Operation("200 concurrent gets", "get_each", fixed(each), lambda a: a == each, 30, goal=0.60),
        Operation("get_many 1000", "get_many", fixed(thousand), lambda a: a == thousand, 30, goal=0.50),
        Operation("range, about 100", "in_range", *ranged(100), samples=90, goal=0.50),
        Operation("range, about 1000", "in_range", *ranged(1000), samples=30, goal=0.50),
        Operation(
            "tag and range, ordered, 20",
            "page",
            fixed(carrier, 30),
            table.ordered(lambda line: line.carrier == carrier and late(line), delay, 20),
            goal=0.45,
        ),
        Operation(
            "the same, selective tag",
            "rare_page",
            fixed(rare, 30),
            table.ordered(lambda line: line.carrier == rare and late(line), delay, 20),
            goal=0.65,
        ),
        Operation(
            "the same, composite",
            "composite_page",
            fixed("LAX", 30),
            table.ordered(
                lambda line: line.dest == "LAX" and (line.arr_delay or 0) > 30,
                lambda line: int(line.arr_delay or 0),
                20,
            ),
            goal=0.55,
        ),
        Operation(
            "OR descending, 20",
            "either_page",
            fixed(carrier, "AA"),
            table.ordered(
                lambda line: line.carrier in (carrier, "AA") and line.dep_delay is not None,
                lambda line: -delay(line),
                20,
            ),
            goal=0.60,
        ),
        Operation(
            "NOT, 20",
            "without_page",
            fixed(carrier, 30),
            table.ordered(lambda line: line.carrier != carrier and late(line), delay, 20),
            goal=0.45,
        ),
        Operation("count of a range", "count_range", fixed(30), table.count(late), goal=1.05),
        Operation(
            "count of a composite",
            "count_composite",
            fixed("LAX", 30),
            table.count(lambda line: line.dest == "LAX" and (line.arr_delay or 0) > 30),
            goal=1.05,
        ),
        Operation(
            "count of tag and range",
            "count_tagged",
            fixed(carrier, 30),
            table.count(lambda line: line.carrier == carrier and late(line)),
            samples=60,
            goal=0.80,
        ),
        Operation(
            "text prefix, about 100",
            "prefixed",
            fixed(prefix),
            table.any_order(lambda line: line.tailnum.startswith(prefix)),
            samples=90,
            goal=0.55,
        ),
        Operation(
            "50 pages of 20",
            "walk",
            fixed(carrier, pages),
            table.ordered(
                lambda line: line.carrier == carrier and line.dep_delay is not None, delay, 20 * pages
            ),
            samples=20,
            goal=0.60,
        ),
        Operation("facets", "facets", fixed(), table.facets(), goal=0.55),
    ]


def writes(rows: Sequence[dict[str, Any]]) -> list[Operation]:
    """Operations that write, on records of their own or the first of the table; `rows` are its first thousand."""
    template = rows[0]
    flying = [row["id"] for row in rows if "dep_delay" in row]

    def new(base: int) -> Callable[[int], dict[str, Any]]:
        return lambda n: template | {"id": base + n}

    created, expiring, deleted = new(10_000_000), new(11_000_000), new(12_000_000)

    def tailed(n: int) -> Args:
        return [[template | {"id": 20_000_000 + n * 1000 + one, "tailnum": f"X{n}"} for one in range(1000)]]

    def at(position: int) -> Callable[[int], Args]:
        return lambda n: [flying[position]]

    def delayed(position: int, by: int) -> After:
        before = int(next(row for row in rows if row["id"] == flying[position])["dep_delay"])
        return After("read", at(position), lambda n, answer: answer["dep_delay"] == before + by)

    def changed(n: int) -> int:
        return flying[10 + n * 7 % (len(flying) - 10)]

    return [
        Operation(
            "create",
            "create",
            lambda n: [created(n)],
            after=(After("read", lambda n: [created(n)["id"]], lambda n, answer: _same(answer, created(n))),),
            goal=0.55,
        ),
        Operation(
            "save with TTL",
            "create_with_ttl",
            lambda n: [expiring(n), TTL],
            after=(
                After("read", lambda n: [expiring(n)["id"]], lambda n, answer: _same(answer, expiring(n))),
                After("lifetime", lambda n: [expiring(n)["id"]], lambda n, left: TTL - 60 < left <= TTL),
            ),
            goal=0.55,
        ),
        Operation(
            "load, change, save",
            "change",
            lambda n: [changed(n), 5 + n % 60],
            after=(
                After("read", lambda n: [changed(n)], lambda n, answer: answer["dep_delay"] == 5 + n % 60),
            ),
            goal=0.75,
        ),
        Operation("inc", "increment", at(0), after=(delayed(0, 1),), goal=0.70),
        Operation(
            "transaction of two",
            "transfer",
            lambda n: flying[1:3],
            after=(delayed(1, -1), delayed(2, 1)),
        ),
        Operation(
            "delete",
            "delete",
            lambda n: [deleted(n)["id"]],
            before=("create", lambda n: [deleted(n)]),
            after=(After("read", lambda n: [deleted(n)["id"]], lambda n, answer: answer is None),),
            goal=0.40,
        ),
        Operation(
            "delete by query, 1000",
            "delete_tagged",
            lambda n: [f"X{n}"],
            right=lambda answer: answer in (1000, None),  # some do not say how many
            samples=8,
            before=("load", tailed),
            after=(After("read", lambda n: [tailed(n)[0][0]["id"]], lambda n, answer: answer is None),),
            goal=0.55,
        ),
    ]


def _same(answer: Any, row: dict[str, Any]) -> bool:
    return PlainFlight.model_validate(answer) == PlainFlight.model_validate(row)
