"""Changing, deleting and ending records by query."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError, field_validator

from redisom_lite import Composite, Database, Field, Key, Manager, Meta, Model, Range, Tag, Unique
from redisom_lite.errors import ConstraintError, QueryError, UniqueError


class Part(Model):
    meta = Meta(indexes=[Composite("shelf", "weight")])
    id: Key[int]
    shelf: Tag[str] = "a"
    tags: Tag[set[str]] = Field(default_factory=set)
    weight: Range[int] = Field(default=0, ge=0)
    name: Range[str | None] = None
    ean: Unique[str | None] = None
    note: str = ""

    @field_validator("note")
    @classmethod
    def trimmed(cls, value: str) -> str:
        return value.strip()


class Spread(Model):
    meta = Meta(partitions=3)
    id: Key[int]
    weight: Range[int] = 0


class Frozen(Model, frozen=True):
    id: Key[int]
    weight: Range[int] = 0


class Sliding(Model):
    objects = Manager(ttl=1000, sliding=True)
    id: Key[int]
    weight: Range[int] = 0


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        database.bind(Part, Spread, Frozen, Sliding)
        database.backend.reader.budget.entries = 20
        yield database


async def fill(count: int = 50, model: Any = Part) -> None:
    await model.objects.save_many([model(id=n, weight=n) for n in range(count)])


async def healthy(model: Any = Part) -> bool:
    report = await model.objects.check()
    return bool(report.ok)


async def test_update_changes_every_match_and_its_indexes(db: Database) -> None:
    await fill()
    assert await Part.objects.find(Part.weight >= 40).update(shelf="b", name="heavy") == 10
    assert await Part.objects.find(Part.shelf == "b", Part.weight >= 40).count() == 10
    assert await Part.objects.find(Part.name == "heavy").pks() == list(range(40, 50))
    assert await Part.objects.find(Part.shelf == "a").count() == 40
    assert await healthy()


async def test_update_of_the_column_it_walks_hits_each_record_once(db: Database) -> None:
    await fill()
    query = Part.objects.find(Part.weight >= 5).order_by(Part.weight)
    assert await query.update(weight=1000) == 45
    assert await Part.objects.find(Part.weight == 1000).count() == 45
    assert await healthy()


async def test_limited_update_acts_on_exactly_the_first(db: Database) -> None:
    await fill()
    query = Part.objects.find().order_by(Part.weight.desc()).offset(2).limit(3)
    assert await query.update(note=" seen ") == 3
    assert [p.id for p in await Part.objects.find() if p.note == "seen"] == [45, 46, 47]


async def test_limited_delete_acts_on_exactly_the_first(db: Database) -> None:
    await fill()
    assert await Part.objects.find().order_by(Part.weight.desc()).limit(7).delete() == 7
    assert await Part.objects.find().pks() == list(range(43))
    assert await Part.objects.find().limit(0).delete() == 0
    assert await healthy()


async def test_delete_removes_every_match_from_every_index(db: Database) -> None:
    await fill()
    assert await Part.objects.find(Part.weight.between(10, 29)).delete() == 20
    assert await Part.objects.find().count() == 30
    assert await Part.objects.find(Part.shelf == "a").count() == 30
    assert await Part.objects.find().delete() == 30
    assert len(await db.redis.keys("*")) <= 5


async def test_expire_gives_every_match_a_lifetime(db: Database) -> None:
    await fill()
    assert await Part.objects.find(Part.weight < 5).expire("1h") == 5
    left = await (await Part.objects.get(3)).ttl()
    assert left is not None
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert await (await Part.objects.get(5)).ttl() is None
    assert await Part.objects.find(Part.weight < 5).expire(timedelta(milliseconds=20)) == 5
    await asyncio.sleep(0.05)
    assert await Part.objects.find().count() == 45
    assert await Part.objects.find(Part.weight < 5).delete() == 0


async def test_expire_refuses_a_lifetime_that_is_not_positive(db: Database) -> None:
    with pytest.raises(ConstraintError, match="more than zero"):
        await Part.objects.find().expire(0)


async def test_changes_over_partitions_add_up(db: Database) -> None:
    await fill(model=Spread)
    assert (
        await Spread.objects.find(Spread.weight >= 10).order_by(Spread.weight).limit(5).update(weight=99) == 5
    )
    assert await Spread.objects.find(Spread.weight == 99).pks() == [10, 11, 12, 13, 14]
    assert await Spread.objects.find(Spread.weight < 20).expire(60) == 15
    assert await Spread.objects.find().delete() == 50


async def test_update_is_validated_before_anything_is_sent(db: Database) -> None:
    await fill(3)
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        await Part.objects.find().update(weight=-1, shelf="z")
    assert await Part.objects.find(Part.shelf == "z").count() == 0
    with pytest.raises(QueryError, match="Part has no field 'wieght'"):
        await Part.objects.find().update(wieght=1)
    with pytest.raises(QueryError, match="needs a field to change"):
        await Part.objects.find().update()
    with pytest.raises(ConstraintError, match=r"Part\.id: the key of a stored record cannot change"):
        await Part.objects.find().update(id=5)
    with pytest.raises(ValidationError, match="frozen"):
        await Frozen.objects.find().update(weight=1)


async def test_update_converts_as_assignment_does(db: Database) -> None:
    await fill(3)
    assert await Part.objects.find().update(weight="12", tags=["x", "x"], note="  y ") == 3
    (part, *_) = await Part.objects.find()
    assert (part.weight, part.tags, part.note) == (12, {"x"}, "y")


async def test_update_to_none_leaves_the_range(db: Database) -> None:
    await fill(4)
    assert await Part.objects.find().update(name="n") == 4
    assert await Part.objects.find(Part.id.in_([1, 2])).update(name=None) == 2
    assert await Part.objects.find(Part.name.is_none()).pks() == [1, 2]


async def test_update_of_a_unique_to_one_value_leaves_the_step_undone(db: Database) -> None:
    await fill(3)
    with pytest.raises(UniqueError):
        await Part.objects.find().update(ean="same")
    assert await Part.objects.find(Part.ean.is_none()).count() == 3
    assert await Part.objects.find(Part.id == 1).update(ean="same") == 1
    assert await healthy()


async def test_update_renews_the_lifetime_of_a_sliding_manager(db: Database) -> None:
    await Sliding.objects.save_many([Sliding(id=1)], ttl=5)
    assert await Sliding.objects.find().update(weight=2) == 1
    left = await (await Sliding.objects.find().all())[0].ttl()
    assert left is not None
    assert left > timedelta(seconds=900)


async def test_records_that_cease_to_match_meanwhile_are_left_alone(db: Database) -> None:
    await fill(200)

    async def lighten() -> None:
        for n in range(199, 100, -1):
            await (await Part.objects.get(n)).update(weight=0, note="light")

    changed, _ = await asyncio.gather(Part.objects.find(Part.weight >= 100).update(shelf="heavy"), lighten())
    heavy = await Part.objects.find(Part.shelf == "heavy").count()
    assert heavy == changed
    assert await healthy()
