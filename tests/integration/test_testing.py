"""What `redisom_lite.testing` gives to the tests of programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redisom_lite import Database, Key, Meta, Model, Range
from redisom_lite.errors import UnavailableError

db = Database("memory://testing-plugin")


class Note(Model):
    meta = Meta(db=db)

    id: Key[str]
    size: Range[int] = 0


async def test_isolate_gives_each_test_an_empty_database_and_the_old_one_back(
    isolate: Callable[..., None],
) -> None:
    from redisom_lite import testing

    await Note(id="outside").save()
    with testing.isolate(db):
        assert await Note.objects.find().count() == 0
        await Note(id="inside").save()
    assert await Note.objects.find().pks() == ["outside"]
    await Note.objects.delete("outside")
    isolate(db)
    assert await Note.objects.find().count() == 0


async def test_round_trips_counts_and_names_calls(isolate: Callable[..., None], round_trips: Any) -> None:
    isolate(db)
    await Note(id="a").save()
    with round_trips(db) as trips:
        await Note.objects.get("a")
        await Note.objects.find(Note.size == 0).limit(5)
    assert trips.names[0] == "HMGET"
    assert trips.names.count("find") == trips.count - 1 >= 1


@pytest.mark.parametrize(
    ("moment", "outcome", "stored"), [("before", "none", False), ("after", "unknown", True)]
)
async def test_faults_fail_before_or_after_the_effect(
    isolate: Callable[..., None], faults: Any, moment: str, outcome: str, stored: bool
) -> None:
    isolate(db)
    await Note(id="warm").save()
    with faults(db, moment=moment) as plan:
        with pytest.raises(UnavailableError) as failed:
            await Note(id="a").save()
        assert failed.value.outcome == outcome
        assert plan.raised == 1
        await Note(id="b").save()
    assert await Note.objects.exists("a") is stored
    assert await Note.objects.exists("b")
