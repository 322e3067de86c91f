"""Lifetimes by name, by pattern and of models' records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from redisom_lite import Database, Field, Key, Meta, Model, Tag, expiry
from redisom_lite.errors import ConstraintError, QueryError

MINUTE = timedelta(minutes=1)
SLACK = timedelta(seconds=5)


class Session(Model):
    meta = Meta(prefix="expiry-session")
    token: Key[str]
    user: Tag[str] = Field(default="u")


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        opened.bind(Session)
        yield opened


async def put(db: Database, *names: str, seconds: int | None = None) -> None:
    for name in names:
        await db.redis.set(name, "x", ex=seconds)


async def remaining(selection: expiry.Selection) -> dict[str, timedelta | None]:
    return {entry.key: entry.remaining async for entry in selection}


async def test_iterating_names_gives_those_that_exist(db: Database) -> None:
    await put(db, "endless")
    await put(db, "brief", seconds=60)
    seen = await remaining(expiry.keys(db, "endless", "brief", "none"))
    assert seen.keys() == {"endless", "brief"}
    assert seen["endless"] is None
    assert MINUTE - SLACK < (seen["brief"] or timedelta()) <= MINUTE


async def test_set_gives_all_named_keys_a_lifetime_and_counts_the_missing(db: Database) -> None:
    await put(db, "a", "b")
    assert await expiry.keys(db, "a", "b", "c").set("1m") == expiry.Changed(seen=3, changed=2, missing=1)
    assert all(left and left <= MINUTE for left in (await remaining(expiry.keys(db, "a", "b"))).values())


async def test_extend_adds_to_what_remains_and_leaves_the_endless(db: Database) -> None:
    await put(db, "endless")
    await put(db, "brief", seconds=60)
    assert (await expiry.keys(db, "endless", "brief").extend("1m")).changed == 1
    seen = await remaining(expiry.keys(db, "endless", "brief"))
    assert seen["endless"] is None
    assert 2 * MINUTE - SLACK < (seen["brief"] or timedelta()) <= 2 * MINUTE


async def test_persist_takes_the_end_away(db: Database) -> None:
    await put(db, "a", seconds=60)
    assert (await expiry.keys(db, "a").persist()).changed == 1
    assert await remaining(expiry.keys(db, "a")) == {"a": None}


async def test_pattern_concerns_only_what_matches(db: Database) -> None:
    await put(db, *(f"temp:{n}" for n in range(600)), "other")
    done = await expiry.matching(db, "temp:*").set("1m")
    assert (done.seen, done.changed) == (600, 600)
    assert await remaining(expiry.keys(db, "other")) == {"other": None}


async def test_dry_run_counts_and_changes_nothing(db: Database) -> None:
    await put(db, "temp:1", "temp:2")
    await Session(token="a").save()
    done = await expiry.matching(db, "*").set("1m", dry_run=True)
    assert (done.changed, done.records) == (3, 1)
    assert set((await remaining(expiry.matching(db, "temp:*"))).values()) == {None}
    assert await (await Session.objects.get("a")).ttl() is None


async def test_progress_follows_the_pages(db: Database) -> None:
    names = [f"k{n}" for n in range(250)]
    await put(db, *names)
    seen: list[tuple[int, int | None]] = []
    await expiry.keys(db, *names).set("1m", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(200, 250), (250, 250)]


async def test_scan_keeps_to_its_rate(db: Database) -> None:
    await put(db, *(f"k{n}" for n in range(1200)))
    begin = time.monotonic()
    assert (await expiry.matching(db, "k*", rate=5000).persist()).seen == 1200
    assert time.monotonic() - begin > 0.2


async def test_record_found_by_pattern_gets_its_lifetime_through_the_mapper(db: Database) -> None:
    await put(db, "plain")
    await Session(token="a").save()
    done = await expiry.matching(db, "*").set("1m")
    assert (done.changed, done.records) == (2, 1)
    assert done.refused > 0
    assert await Session.objects.expiring(within="2m").pks() == ["a"]
    assert (await Session.objects.check()).ok


async def test_record_named_by_its_key_is_extended_with_its_deadline(db: Database) -> None:
    await Session(token="a").save(ttl="1m")
    assert (await expiry.keys(db, "{expiry-session}:r:a").extend("1m")).records == 1
    left = await (await Session.objects.get("a")).ttl()
    assert left is not None
    assert left > MINUTE
    assert (await Session.objects.check()).ok


async def test_named_index_key_is_refused_before_anything_is_changed(db: Database) -> None:
    await put(db, "plain")
    await Session(token="a").save()
    with pytest.raises(QueryError, match="an index key has no lifetime"):
        await expiry.keys(db, "plain", "{expiry-session}:k").set("1m")
    assert await remaining(expiry.keys(db, "plain")) == {"plain": None}


async def test_record_of_an_unknown_model_is_refused_with_the_cure(url: str, db: Database) -> None:
    await Session(token="a").save()
    async with Database(url) as other:  # nothing is bound there
        with pytest.raises(QueryError, match="import that model's module"):
            await expiry.keys(other, "{expiry-session}:r:a").set("1m")
        assert (await expiry.matching(other, "*").set("1m")).changed == 0


async def test_key_that_only_looks_like_a_models_is_plain(db: Database) -> None:
    await put(db, "{someone}:r:else")
    assert (await expiry.keys(db, "{someone}:r:else").set("1m")).changed == 1


async def test_records_of_a_query_are_changed_and_no_others(db: Database) -> None:
    for token, user in (("a", "x"), ("b", "y"), ("c", "x")):
        await Session(token=token, user=user).save()
    done = await expiry.records(Session.objects.find(Session.user == "x")).set("1m")
    assert (done.changed, done.records) == (2, 2)
    assert await Session.objects.expiring(within="2m").count() == 2
    assert (await expiry.records(Session).persist()).changed == 2
    assert await Session.objects.expiring(within="2m").count() == 0


async def test_histogram_counts_by_remaining_lifetime(db: Database) -> None:
    for token, ttl in (("a", "5s"), ("b", "30m"), ("c", "40m"), ("d", None), ("e", "500d")):
        await Session(token=token).save(ttl=ttl)
    found = await expiry.records(Session).histogram()
    assert {bucket.within: bucket.count for bucket in found.buckets if bucket.count} == {
        timedelta(seconds=10): 1,
        timedelta(hours=1): 2,
        None: 1,
    }
    assert (found.endless, found.total) == (1, 5)
    assert "up to 1h         2" in str(found)


async def test_expired_record_is_missing(db: Database) -> None:
    await Session(token="a").save(ttl="20ms")
    await asyncio.sleep(0.05)
    assert await expiry.keys(db, "{expiry-session}:r:a").extend("1m") == expiry.Changed(seen=1, missing=1)


async def test_impossible_rates_are_refused(db: Database) -> None:
    with pytest.raises(ConstraintError, match="above 0"):
        expiry.matching(db, "*", rate=0)
