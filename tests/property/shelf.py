"""Models with a field of every indexable type, and values at the edges of each type."""

from __future__ import annotations

import random
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from math import inf
from typing import Any, Literal
from uuid import UUID

from redisom_lite import Composite, Field, Key, Meta, Model, Range, Tag, Unique


class Level(IntEnum):
    LOW = -3
    MIDDLE = 0
    HIGH = 40


class Color(Enum):
    RED = "red"
    GREEN = "a:b%{c}"
    NONE = ""


class Fields(Model, abstract=True):
    n: Range[int | None] = None
    f: Range[float | None] = None
    d: Range[Decimal | None] = None
    b: Range[bool | None] = None
    at: Range[datetime | None] = None
    day: Range[date | None] = None
    clock: Range[time | None] = None
    took: Range[timedelta | None] = None
    level: Range[Level | None] = None
    text: Range[str | None] = None
    small: Range[int] = 0
    t: Tag[str | None] = None
    ti: Tag[int | None] = None
    tb: Tag[bool | None] = None
    tu: Tag[UUID | None] = None
    te: Tag[Color | None] = None
    tl: Tag[Literal["a", 2, "ü"] | None] = None
    ms: Tag[set[str]] = Field(default_factory=set)
    mf: Tag[frozenset[int] | None] = None
    ml: Tag[list[Color]] = Field(default_factory=list)
    mt: Tag[tuple[UUID, ...] | None] = None
    note: str = ""


COMPOSITES = [Composite("t", "n"), Composite("ms", "d"), Composite("te", "at"), Composite("t", "small")]


class Thing(Fields):
    meta = Meta(prefix="thing", indexes=COMPOSITES)
    id: Key[str]
    u: Unique[str | None] = None
    ui: Unique[int | None] = None


class Numbered(Fields):
    meta = Meta(prefix="numbered", indexes=COMPOSITES)
    id: Key[int]
    u: Unique[str | None] = None
    ui: Unique[int | None] = None


class Named(Fields):
    meta = Meta(prefix="named")
    id: Key[UUID]
    u: Unique[str | None] = None
    ui: Unique[int | None] = None


class Spread(Fields):
    meta = Meta(prefix="spread", indexes=COMPOSITES, partitions=3)
    id: Key[str]


MODELS = (Thing, Numbered, Named, Spread)

_ODD = timezone(timedelta(hours=5, minutes=45))
_FAR_WEST = timezone(-timedelta(hours=23, minutes=59))
_FAR_EAST = timezone(timedelta(hours=23, minutes=59))
_UUIDS = [UUID(int=0), UUID(int=2**128 - 1), UUID("12345678-9abc-4def-8123-456789abcdef")]
_TEXTS = [
    "",
    "\0",
    "\0\0",
    "\0\x01",
    "a",
    "a\0",
    "a\0b",
    "ab",
    "a\x01",
    "A",
    "Z",
    "z",
    "~",
    "\x7f",
    "é",
    "e\u0301",
]
_TEXTS += [
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
    "a\U0010ffff",
    "😀",
    "%",
    "a:b",
    "{x}*?[^]",
    " ",
]
_TEXTS += ["x" * 300, "x" * 299 + "y"]

VALUES: dict[str, list[Any]] = {
    "n": [
        0,
        1,
        -1,
        7,
        2**53 - 1,
        2**53,
        2**53 + 1,
        2**53 + 2,
        -(2**53) - 1,
        -(2**53),
        2**60,
        2**60 + 1,
        10**20,
        10**20 + 1,
        10**400,
        10**400 + 1,
        -(10**400),
        10**401,
        sys.maxsize,
    ],
    "f": [
        0.0,
        -0.0,
        1.5,
        0.1,
        0.30000000000000004,
        inf,
        -inf,
        1e308,
        5e-324,
        -1.5,
        2.0**53,
        2.0**53 + 2,
        1e23,
    ],
    "d": [
        Decimal(text) for text in ("0", "-0", "0.1", "0.10", "19.99", "1E+400", "1E-400", "-1E+400", "2E-400")
    ]
    + [Decimal("0." + "1234567890" * 4), Decimal("0." + "1234567890" * 3 + "1234567891"), Decimal(2**53 + 1)]
    + [Decimal(2**53), Decimal("9007199254740992.5"), Decimal("0.1000000000000000055511151231257827")],
    "b": [True, False],
    "at": [
        datetime(1, 1, 1),
        datetime(9999, 12, 31, 23, 59, 59, 999999),
        datetime(2024, 2, 29, 12, 0, 0, 1),
        datetime(1, 1, 1, tzinfo=_FAR_EAST),
        datetime(9999, 12, 31, 23, tzinfo=_FAR_WEST),
        datetime(2024, 2, 29, 17, 45, 0, 1, tzinfo=_ODD),
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999),
        datetime(2300, 1, 1, 0, 0, 0, 1),
        datetime(2300, 1, 1, 0, 0, 0, 2),
    ],
    "day": [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1), date(2024, 2, 29)],
    "clock": [
        time(0),
        time(23, 59, 59, 999999),
        time(12, 30),
        time(18, 15, tzinfo=_ODD),
        time(0, tzinfo=_FAR_EAST),
    ],
    "took": [
        timedelta.max,
        timedelta.min,
        timedelta(0),
        timedelta(microseconds=1),
        timedelta(microseconds=-1),
        timedelta.max - timedelta(microseconds=1),
        timedelta(days=3),
    ],
    "level": list(Level),
    "text": _TEXTS,
    "small": [1, 2, 3, 4, 5],
    "t": ["", "a", "b", "a:b", "%", "{x}*?[^]\\", "ü", "\0", "x" * 300, "x" * 299 + "y", "None"],
    "ti": [0, 1, -1, 10**300, 2**53 + 1],
    "tb": [True, False],
    "tu": _UUIDS,
    "te": list(Color),
    "tl": ["a", 2, "ü"],
    "ms": ["", "a", "b", "c:%", "\0", "y" * 300],
    "mf": [0, 1, -5, 10**30],
    "ml": list(Color),
    "mt": _UUIDS,
    "u": [f"u{n}" for n in range(60)] + ["", "x" * 300],
    "ui": list(range(-30, 30)),
}
NUMBERS = ("n", "f", "d", "b", "at", "day", "clock", "took", "level", "small")
TAGS = ("t", "ti", "tb", "tu", "te", "tl")
MULTI = ("ms", "mf", "ml", "mt")
_HOLDERS = {"ms": set, "mf": frozenset, "ml": list, "mt": tuple}
NOT_NULL = {"small", "ms", "ml"}


def keys(model: type[Any], rng: random.Random, count: int) -> list[Any]:
    """Different primary keys, some awkward."""
    if model is Numbered:
        pool: list[Any] = [
            0,
            -1,
            1,
            9,
            10,
            99,
            100,
            -10,
            -9,
            10**60,
            10**61,
            -(10**60),
            -(10**61),
            10**70,
            2**53 + 1,
        ]
        pool += [rng.randint(-(10**6), 10**6) for _ in range(2 * count)]
    elif model is Named:
        pool = _UUIDS + [UUID(int=rng.getrandbits(128)) for _ in range(2 * count)]
    else:
        pool = [text for text in _TEXTS if text] + [f"k{rng.randint(0, 10**6)}" for _ in range(2 * count)]
    return rng.sample(list(dict.fromkeys(pool)), count)


def value(name: str, rng: random.Random) -> Any:
    """A random value of a field: mostly from its pool, so that values repeat, and now and then a fresh one."""
    if name not in NOT_NULL and rng.random() < 0.2:
        return None
    if name in MULTI:
        members = rng.sample(VALUES[name], rng.randint(0, len(VALUES[name])))
        return _HOLDERS[name](members)
    if rng.random() < 0.2:
        fresh = _fresh(name, rng)
        if fresh is not None:
            return fresh
    return rng.choice(VALUES[name])


def _fresh(name: str, rng: random.Random) -> Any:
    match name:
        case "n":
            return rng.randint(-100, 100)
        case "f":
            return rng.uniform(-100, 100)
        case "d":
            return Decimal(rng.randint(-(10**6), 10**6)).scaleb(-2)
        case "at":
            return datetime(2000, 1, 1) + timedelta(seconds=rng.randint(0, 10**9))
        case "took":
            return timedelta(microseconds=rng.randint(-(10**9), 10**9))
        case "text":
            return "".join(rng.choice("ab\0é") for _ in range(rng.randint(0, 4)))
        case _:
            return None


def things(model: type[Any], rng: random.Random, count: int) -> list[Any]:
    """Random objects of a model."""
    unique = {name: rng.sample(VALUES[name], len(VALUES[name])) for name in ("u", "ui")}
    found: list[Any] = []
    for key in keys(model, rng, count):
        fields = {name: value(name, rng) for name in VALUES if name not in unique}
        for name, pool in unique.items():
            if name in model.model_fields and pool and rng.random() < 0.7:
                fields[name] = pool.pop()
        found.append(model(id=key, note=f"n{rng.randint(0, 9)}", **fields))
    return found
