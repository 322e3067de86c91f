"""Rows as the query brings them: whatever bytes they hold, whichever of their fields are not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from redisom_lite import Database, Key, Meta, Model, Range
from redisom_lite.testing import round_trips
from tests.paging import paged


class Plain(Model):
    id: Key[str]
    rank: Range[int | None] = 0
    blob: bytes = b""
    note: str | None = None


class Numbered(Model):
    meta = Meta(versioned=True)
    note: str | None = None
    id: Key[str]
    rank: Range[int | None] = 0
    blob: bytes = b""


MODELS = pytest.mark.parametrize("model", [Plain, Numbered])


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        database.bind(Plain, Numbered)
        yield database


async def ways(model: Any) -> list[list[Any]]:
    """The records by rank, read in each of the ways that bring rows."""
    query = model.objects.find().order_by(model.rank)
    everything = sorted(await model.objects.find(), key=lambda each: (each.rank is None, each.rank, each.id))
    picked = await query.limit(20).values("id", "blob", "note")
    return [
        everything,
        await query.limit(20),
        (await query.page(size=20)).items,
        [model(id=each["id"], rank=n, blob=each["blob"], note=each["note"]) for n, each in enumerate(picked)],
    ]


@MODELS
@pytest.mark.parametrize(
    "blob", [b"\xff\x00", b"\xff\x00\xff\x00", b"\xff", b"\x00", b"\x00\xff\x00\xff", b""]
)
async def test_any_bytes_are_read_as_they_are(db: Database, model: Any, blob: bytes) -> None:
    await model.objects.save_many([model(id=f"{n}", rank=n, blob=blob * (n % 2)) for n in range(4)])
    for found in await ways(model):
        assert [(each.id, each.blob) for each in found] == [(f"{n}", blob * (n % 2)) for n in range(4)]


@MODELS
async def test_bytes_that_need_a_second_reading_page_on_to_the_end(db: Database, model: Any) -> None:
    await model.objects.save_many([model(id=f"{n:02}", rank=n // 3, blob=b"\xff\x00") for n in range(30)])
    query = model.objects.find(model.rank >= 1).order_by(model.rank.desc())
    found = [each.id for page in await paged(query, 7) for each in page]
    assert found == [f"{n:02}" for n in reversed(range(3, 30))]


@MODELS
async def test_none_and_absent_fields_are_told_apart_beside_whole_rows(db: Database, model: Any) -> None:
    notes = {"0": "x", "1": None, "2": "", "3": "y"}
    await model.objects.save_many([model(id=n, rank=int(n), note=note) for n, note in notes.items()])
    await db.redis.hdel(f"{{{model.__name__.lower()}}}:r:3", "blob")
    for found in await ways(model):
        assert {each.id: each.note for each in found} == notes
        assert [each.blob for each in found] == [b""] * 4
    first = await model.objects.find().order_by(model.rank).limit(20)
    first[1].note = "set"
    await first[1].save()
    assert (await model.objects.get("1")).note == "set", "its version was read"


@MODELS
async def test_a_record_without_its_key_field_keeps_its_place(db: Database, model: Any) -> None:
    await model.objects.save_many([model(id=f"{n}", rank=n, note="x") for n in range(4)])
    await db.redis.hdel(f"{{{model.__name__.lower()}}}:r:1", "id")
    await db.redis.delete(f"{{{model.__name__.lower()}}}:r:2")
    for _ in range(2):
        found = await model.objects.find().order_by(model.rank).limit(3)
        assert [each.id for each in found] == ["0", "1", "3"]


@MODELS
async def test_a_full_page_of_rows_takes_one_call_whatever_is_none(db: Database, model: Any) -> None:
    await model.objects.save_many(
        [model(id=f"{n:02}", rank=n, note=None if n % 3 else "x") for n in range(30)]
    )
    await model.objects.find().first()
    db.backend.reader.budget.ms = 1000
    with round_trips(db) as trips:
        found = await model.objects.find().order_by(model.rank).limit(20)
    assert [each.note for each in found] == [None if n % 3 else "x" for n in range(20)]
    assert trips.count == 1, trips.names


@MODELS
@pytest.mark.parametrize("notes", ["sss", "nssnsn", "lss", "ssln", "nlnls", "nnnss", "slsnsn"])
async def test_short_and_long_rows_and_such_with_gaps_come_beside_each_other(
    db: Database, model: Any, notes: str
) -> None:
    texts = {"s": "short", "l": "long" * 2000, "n": None}
    await model.objects.save_many(
        [model(id=f"{n}", rank=n, note=texts[kind], blob=b"b") for n, kind in enumerate(notes)]
    )
    for found in await ways(model):
        assert [(each.id, each.note, each.blob) for each in found] == [
            (f"{n}", texts[kind], b"b") for n, kind in enumerate(notes)
        ]
    await db.redis.delete(f"{{{model.__name__.lower()}}}:r:{len(notes) - 1}")
    left = await model.objects.find().order_by(model.rank).limit(len(notes))
    assert [each.note for each in left] == [texts[kind] for kind in notes[:-1]]
