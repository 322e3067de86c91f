"""`Query.explain` against a server: the decision that is shown is the decision that is taken."""

from __future__ import annotations

import pytest

from redisom_lite import Composite, Database, Key, Meta, Model, Plan, Range, Tag


class Cup(Model):
    meta = Meta(prefix="cup", indexes=[Composite("kind", "size")])

    id: Key[int]
    kind: Tag[str]
    colour: Tag[str]
    size: Range[int]


@pytest.fixture
async def db(url: str) -> Database:
    db = Database(url)
    db.bind(Cup)
    await Cup.objects.save_many(
        [Cup(id=n, kind="abc"[n % 3], colour="xy"[n % 2], size=n % 50) for n in range(300)]
    )
    return db


async def test_explain_names_the_composite_and_analyze_counts(db: Database) -> None:
    query = Cup.objects.find(Cup.kind == "a", Cup.size > 40).order_by(Cup.size).limit(5)
    plan = await query.explain(analyze=True)
    assert isinstance(plan, Plan)
    assert plan.driver is not None
    assert plan.driver.reads == "composite kind+size"
    assert plan.actual is not None
    assert (plan.actual.found, plan.actual.round_trips) == (5, 1)
    assert plan.round_trips == 1


async def test_explain_without_analyze_reads_no_record(db: Database) -> None:
    from redisom_lite.testing import round_trips as counted

    await Cup.objects.find().count()
    with counted(db) as trips:
        plan = await Cup.objects.find(Cup.colour == "x").order_by(Cup.size).limit(5).explain()
    assert trips.count == 1
    assert plan.actual is None
    assert plan.records == 300


async def test_explain_of_the_impossible_makes_no_call(db: Database) -> None:
    from redisom_lite.testing import round_trips as counted

    with counted(db) as trips:
        plan = await Cup.objects.find(Cup.size > 3, Cup.size < 3).explain(analyze=True)
    assert trips.count == 0
    assert plan.strategy == "nothing"
