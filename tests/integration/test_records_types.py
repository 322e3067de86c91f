"""Every type, with its edge values and None, comes back as it was saved, and is indexed as it should be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from redisom_lite import Database
from tests.integration.record_models import Address, Color, Everything, Grade, opened

KEY = UUID(int=1)
TEXTS = [
    "",
    "a",
    "é😀",
    "\0",
    "a\0b\0\0",
    "\n\r\t ",
    "%",
    "{x}:*?[]^\\",
    "None",
    "x" * 10_000,
    "𐀀",
    "\uffff",
    "_ix=1:;",
]
VALUES: dict[str, list[Any]] = {
    "i": [0, -1, 2**53, 2**53 + 1, -(2**53) - 1, 10**23, 10**400, -(10**4000)],
    "f": [0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf"), 2.0**53, 1e23],
    "d": [
        *map(
            Decimal,
            ["0", "-0", "0.00", "19.99", "-5", "1E+400", "-1E-400", "0.1234567890123456789012", "1E-324"],
        ),
        *map(Decimal, ["9007199254740993", "1.0", "1.00", "123456789012345", "-0.000000000000001", "1E+2"]),
    ],
    "b": [True, False],
    "dt": [
        datetime(2024, 2, 29, 12, 30, 15, 123456),
        datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
        datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        datetime.min,
        datetime.max,
        datetime(1969, 12, 31, 23, 59, 59, 999999),
        datetime(2255, 6, 6),
        datetime(2300, 1, 1, microsecond=1),
    ],
    "day": [date.min, date(1970, 1, 1), date.max],
    "at": [time.min, time.max, time(12, 30, 15, 1), time(23, tzinfo=timezone(timedelta(hours=-5)))],
    "span": [
        timedelta(0),
        timedelta(microseconds=-1),
        timedelta.max,
        timedelta.min,
        timedelta(days=1, seconds=2),
    ],
    "grade": list(Grade),
    "text": TEXTS,
    "tag": TEXTS,
    "tag_int": [0, -1, 10**30, 10**300],
    "tag_bool": [True, False],
    "tag_uuid": [UUID(int=0), UUID(int=2**128 - 1)],
    "color": list(Color),
    "lit": ["a", 2],
    "tags": [[], ["a"], ["b", "a", "b"], TEXTS],
    "colors": [frozenset(), frozenset(Color)],
    "pair": [(), (1,), (2, 1, 2)],
    "unique": TEXTS,
    "raw": [b"", b"\0\xff\n", bytes(range(256))],
    "nested": [Address(street="a"), Address(street="\0", lines=[1, 2])],
    "table": [{}, {"a": None, "": 1}],
    "free": [1, "1", True, None, [1, {"a": None}], 1.5],
}
NULLABLE = [name for name in VALUES if name not in ("colors", "pair", "raw", "table")]


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with opened(url) as opened_db:
        yield opened_db


@pytest.mark.parametrize("field", VALUES)
async def test_values_come_back_as_they_were(db: Database, field: str) -> None:
    nothing = [None] if field in NULLABLE else []
    for value in [*VALUES[field], *nothing]:
        saved = await Everything(id=KEY, **{field: value}).save()
        await _same(saved, field)
    record = await Everything.objects.get(KEY)
    for value in [*nothing, *VALUES[field], *nothing]:
        setattr(record, field, value)
        await record.save()
        await _same(record, field)


async def _same(saved: Everything, field: str) -> None:
    loaded = await Everything.objects.get(KEY)
    one, other = getattr(saved, field), getattr(loaded, field)
    assert loaded == saved
    assert type(one) is type(other)
    assert repr(one) == repr(other) or field in ("colors", "dt", "at")
    if field in ("dt", "at") and one is not None:
        assert one.utcoffset() == other.utcoffset()


@pytest.mark.parametrize(
    "field", ["i", "f", "d", "dt", "day", "at", "span", "text", "tag", "tag_int", "unique"]
)
async def test_values_are_found_by_what_they_are(db: Database, field: str) -> None:
    column = getattr(Everything, field)
    values = VALUES[field]
    await Everything.objects.save_many(
        [Everything(id=UUID(int=n), i=None, **{field: value}) for n, value in enumerate(values)]
        if field != "i"
        else [Everything(id=UUID(int=n), i=value) for n, value in enumerate(values)]
    )
    for value in values:
        wanted = {UUID(int=n) for n, other in enumerate(values) if _equal(other, value)}
        assert set(await Everything.objects.find(column == value).pks()) == wanted


def _equal(one: Any, other: Any) -> bool:
    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
        if isinstance(value, time):
            shift = value.utcoffset() or timedelta(0)
            return datetime.combine(date(2000, 1, 1), value.replace(tzinfo=None)) - shift
        return value

    return bool(plain(one) == plain(other))
