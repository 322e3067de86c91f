"""Memory, expiry and a mirror on a cluster: every primary is asked, and no step spans slots."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from redisom_lite import Database, Field, Key, Meta, Model, Range, Tag, Unique, expiry, memory
from redisom_lite.containers import HashMap, ListQueue, Part
from redisom_lite.errors import NotFoundError
from redisom_lite.reliability import Mirror, health, saved
from tests import processes


class Event(Model):
    meta = Meta(prefix="cluster-event", partitions=5)
    id: Key[int]
    kind: Tag[str] = Field(default="k")
    n: Range[int] = 0
    notes = Part(ListQueue[str])
    votes = Part(HashMap[str, int])


class User(Model):
    meta = Meta(prefix="cluster-user")
    name: Key[str]
    mail: Unique[str | None] = None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.Cluster]:
    with processes.cluster(tmp_path_factory.mktemp("around")) as running:
        yield running


@pytest.fixture
async def db(cluster: processes.Cluster) -> AsyncIterator[Database]:
    for node in cluster.nodes:
        node.command("FLUSHALL")
    async with Database(cluster.url) as opened:
        opened.bind(Event, User)
        yield opened


async def test_report_sums_all_primaries_and_settings_reach_each(
    cluster: processes.Cluster, db: Database
) -> None:
    await memory.set_limit(db, "64mb")
    seen = await memory.report(db)
    assert seen.limit == 3 * (64 << 20)
    assert {node.command("CONFIG", "GET", "maxmemory").split()[1] for node in cluster.nodes} == {
        str(64 << 20)
    }
    await memory.set_limit(db, None)


async def test_usage_and_trim_reach_every_partition(db: Database) -> None:
    await Event.objects.save_many([Event(id=n, n=n) for n in range(500)])
    assert (await memory.usage(Event)).records == 500
    assert await memory.trim(Event, to=300) == 200
    assert await Event.objects.find().limit(1).pks() == [200]
    assert (await Event.objects.check()).ok


async def test_pattern_is_found_on_every_primary(db: Database) -> None:
    for n in range(60):
        await db.redis.set(f"temp:{n}", "x")
    await Event.objects.save_many([Event(id=n) for n in range(20)])
    done = await expiry.matching(db, "*").set("1m")
    assert (done.changed, done.records) == (80, 20)
    assert (await expiry.keys(db, *(f"temp:{n}" for n in range(60))).extend("1m")).changed == 60
    assert (await Event.objects.check()).ok


async def test_cluster_is_mirrored_to_a_single_server(db: Database, real_url: str) -> None:
    async with Database(real_url) as backup:
        mirror = Mirror(db, backup)
        await mirror.save_many([Event(id=n, n=n) for n in range(300)], ttl="1h")
        await mirror.save(User(name="a", mail="x"))
        await Event.objects.delete(7)
        found = await mirror.verify(Event, repair=True)
        assert (found.extra, found.repaired) == (1, 1)
        assert (await mirror.verify(Event)).differences == 0
        assert (await mirror.verify(User)).compared == 1
        assert (await mirror.lag()).pending == 0


async def test_every_primary_is_looked_at_and_saved(db: Database) -> None:
    await User(name="a").save()
    assert len([check for check in (await health(db)).checks if check.name == "memory"]) == 3
    assert await saved(db) in ("snapshot", "fsync", "waitaof")


async def test_parts_are_in_the_slot_of_their_record_and_go_with_it(
    cluster: processes.Cluster, db: Database
) -> None:
    await Event.objects.save_many([Event(id=n, n=n) for n in range(20)])
    for n in range(20):
        await Event.notes.of(n).push("a", "b")
        assert await Event.votes.of(n).incr("up", 2) == 2
        assert await Event.notes.of(n).pop() == "a"
    assert (await Event.objects.check()).ok
    assert await Event.objects.find(Event.n < 19).delete() == 19
    assert await Event.notes.of(19).slice() == ["b"]
    with pytest.raises(NotFoundError):
        await Event.notes.of(3).push("c")
    await Event.objects.delete(19)
    assert not [key for node in cluster.nodes for key in node.command("KEYS", "*:p:*").split()]
