"""Indexes for data that are there already: not ready until built, built while others write, resumed after a kill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from redisom_lite import Composite, Database, Field, Key, Meta, Model, Range, Tag, Unique
from redisom_lite.errors import IndexNotReadyError, QueryError
from tests import oracle

COUNT = 330


class Early(Model):
    """What the first release declares."""

    meta = Meta(prefix="paper")
    id: Key[int]
    kind: Tag[str] = "a"
    size: int = 0
    title: str = ""
    code: str | None = None


class Late(Model):
    """What the next one does: the same fields, more of them indexed."""

    meta = Meta(prefix="paper", indexes=[Composite("kind", "size")])
    id: Key[int]
    kind: Tag[str] = "a"
    size: Range[int] = 0
    title: Range[str] = Field(default="")
    code: Unique[str | None] = Field(default=None)


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        database.bind(Early, Late)
        yield database


async def written(count: int = COUNT) -> None:
    await Early.objects.save_many(
        [Early(id=n, kind="ab"[n % 2], size=n % 50, title=f"t{n % 30}", code=f"c{n}") for n in range(count)]
    )


def needs(model: Any) -> list[Any]:
    """Queries that need an index of the second release."""
    return [
        model.objects.find(model.size > 40),
        model.objects.find().order_by(model.title).limit(5),
        model.objects.find(model.kind == "a", model.size > 40),
        model.objects.find(model.code == "c7"),
    ]


async def answers_are_right(count: int = COUNT) -> None:
    assert await Late.objects.find(Late.size > 40).count() == sum(n % 50 > 40 for n in range(count))
    assert await Late.objects.find(Late.kind == "a", Late.size > 40).count() == sum(
        n % 50 > 40 and n % 2 == 0 for n in range(count)
    )
    assert await Late.objects.find(Late.title == "t3").pks() == list(range(3, count, 30))
    assert await Late.objects.find(Late.code == "c7").pks() == [7]


async def test_query_on_an_index_that_is_not_built_says_so_and_others_answer(db: Database) -> None:
    await written()
    for query in needs(Late):
        for ask in (query.all, query.pks, query.first, query.explain):
            with pytest.raises(
                IndexNotReadyError, match=r"Late.*`await Late\.objects\.reindex\(\)`"
            ) as refused:
                await ask()
            assert isinstance(refused.value, QueryError)
    assert await Late.objects.find(Late.kind == "a").count() == COUNT // 2
    assert (await Late.objects.get(7)).code == "c7"


async def test_reindex_builds_every_index(db: Database) -> None:
    await written()
    seen: list[tuple[int, int | None]] = []
    assert await Late.objects.reindex(progress=lambda done, total: seen.append((done, total))) == COUNT
    assert seen[-1] == (COUNT, COUNT)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    await answers_are_right()
    await oracle.check(db, Late)
    assert await Late.objects.reindex() == COUNT  # once more does no harm
    await answers_are_right()


async def test_reindex_goes_on_where_a_killed_run_stopped(db: Database) -> None:
    await written()

    def stop(done: int, _: int | None) -> None:
        if done >= COUNT // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await Late.objects.reindex(progress=stop)
    with pytest.raises(IndexNotReadyError):
        await Late.objects.find(Late.size > 40).count()
    assert 0 < await Late.objects.reindex() < COUNT
    await answers_are_right()
    await oracle.check(db, Late)


async def test_records_changed_while_an_index_is_built_are_in_it_as_they_are(db: Database) -> None:
    await written()
    done = asyncio.Event()

    async def change() -> None:
        n = 0
        while not done.is_set():
            record = await Late.objects.get(n % 100)
            await record.update(size=1000 + n, title=f"x{n % 7}")
            await Late.objects.delete(200 + n % 50)
            await Late(id=1000 + n % 60, size=n, kind="b", title="new").save()
            n += 1
            await asyncio.sleep(0)

    changing = asyncio.create_task(change())
    try:
        await Late.objects.reindex()
        await Late.objects.find(Late.size > 40).count()
    finally:
        done.set()
        await changing
    everything = await Late.objects.find().all()
    large = [record.id for record in everything if record.size > 40]
    assert await Late.objects.find(Late.size > 40).pks() == large
    assert (await Late.objects.check()).ok
    await oracle.check(db, Late)


async def test_writer_of_the_release_before_makes_the_index_dirty(db: Database) -> None:
    await written(20)
    await Late.objects.reindex()
    await Late(id=50, size=49).save()
    assert await Late.objects.find(Late.size > 40).count() == 1
    await Early(id=60, size=45, title="t").save()
    with pytest.raises(IndexNotReadyError, match="does not declare it"):
        await Late.objects.find(Late.size > 40).count()
    await Late.objects.reindex()
    assert await Late.objects.find(Late.size > 40).pks() == [50, 60]
    await oracle.check(db, Late)


async def test_hashes_of_other_programs_come_into_every_index(db: Database) -> None:
    await Late(id=1, size=3).save()
    await db.redis.hset("{paper}:r:2", mapping={"id": "2", "kind": "z", "size": "77", "title": "by hand"})
    assert await Late.objects.find().count() == 1
    report = await Late.objects.check()
    assert (report.orphaned, report.ok) == (1, False)
    assert await Late.objects.reindex() == 2
    assert await Late.objects.find(Late.size == 77).pks() == [2]
    assert await Late.objects.find(Late.kind == "z").order_by(Late.title).pks() == [2]
    assert (await Late.objects.check()).ok
    await oracle.check(db, Late)


async def test_index_of_another_form_is_built_anew(db: Database) -> None:
    class Other(Model):
        meta = Meta(prefix="paper")
        id: Key[int]
        kind: Tag[str] = "a"
        size: Range[str] = Field(default="")

    db.bind(Other)
    await Late.objects.save_many([Late(id=n, size=n) for n in range(30)])
    with pytest.raises(IndexNotReadyError):
        await Other.objects.find(Other.size > "2").count()
    await Other.objects.reindex()
    assert await Other.objects.find(Other.size > "2").count() == sum(str(n) > "2" for n in range(30))


async def test_reindex_names_the_field_whose_values_are_not_unique(db: Database) -> None:
    await Early.objects.save_many([Early(id=n, code="same" if n in (3, 8) else None) for n in range(20)])
    with pytest.raises(IndexNotReadyError, match="code of 1"):
        await Late.objects.reindex()
    with pytest.raises(IndexNotReadyError):
        await Late.objects.find(Late.code == "same").all()
    await Early.objects.delete(8)
    await Late.objects.reindex()
    assert await Late.objects.find(Late.code == "same").pks() == [3]
