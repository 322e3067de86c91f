"""What the server and the models weigh, and what its eviction policy means for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from redisom_lite import Composite, Database, Field, Key, Meta, Model, Range, Tag, memory
from redisom_lite.engine import embedded
from redisom_lite.errors import AccessDeniedError, BackendError, ConstraintError
from tests.servers import command


class Event(Model):
    meta = Meta(prefix="memory-event", indexes=[Composite("kind", "n")])
    id: Key[str]
    kind: Tag[str] = Field()
    n: Range[int] = 0
    text: str = ""


@pytest.fixture
def server() -> Iterator[embedded.EmbeddedServer]:
    """A server whose settings the test may change."""
    with embedded.start() as started:
        yield started


@pytest.fixture
async def db(server: embedded.EmbeddedServer) -> AsyncIterator[Database]:
    async with Database(server.url) as opened:
        opened.bind(Event)
        yield opened


async def fill(count: int) -> None:
    events = [Event(id=f"{i:05}", kind=f"k{i % 7}", n=i, text="x" * 200) for i in range(count)]
    await Event.objects.save_many(events)


async def test_report_of_a_server_without_limit_has_no_pressure(db: Database) -> None:
    seen = await memory.report(db)
    assert seen.used > 0
    assert seen.peak >= seen.used / 2
    assert (seen.limit, seen.pressure, seen.policy.name) == (None, None, "noeviction")
    assert "no limit" in str(seen)


async def test_limit_and_policy_that_are_set_are_reported(db: Database) -> None:
    await memory.set_limit(db, "64mb")
    assert await memory.set_policy(db, "volatile-ttl") == memory.POLICIES["volatile-ttl"]
    seen = await memory.report(db)
    assert (seen.limit, seen.policy.name) == (64 << 20, "volatile-ttl")
    assert seen.pressure is not None
    assert 0 < seen.pressure < 0.5
    assert seen.policy == await memory.policy(db)


async def test_unknown_policy_is_refused(db: Database) -> None:
    with pytest.raises(ConstraintError, match="no such eviction policy"):
        await memory.set_policy(db, "newest-first")


async def test_forbidden_config_is_said_to_be_managed(server: embedded.EmbeddedServer, db: Database) -> None:
    command(server.socket, "ACL SETUSER app on >secret ~* +@all -config")
    async with Database(server.url.replace("unix://", "unix://app:secret@")) as app:
        with pytest.raises(AccessDeniedError, match="does not allow CONFIG: change maxmemory"):
            await memory.set_limit(app, "64mb")


async def test_memory_url_has_no_report() -> None:
    async with Database("memory://report") as db:
        with pytest.raises(BackendError, match="use embedded://"):
            await memory.report(db)


@pytest.mark.parametrize(
    ("policy", "level"),
    [
        ("noeviction", "ok"),
        ("volatile-lru", "warning"),
        ("volatile-ttl", "warning"),
        ("allkeys-lru", "danger"),
    ],
)
async def test_policies_are_judged_by_what_they_take(db: Database, policy: str, level: str) -> None:
    await Event(id="a", kind="k").save(ttl="1h")
    await memory.set_policy(db, policy)
    (found,) = await memory.judge(db, Event)
    assert (found.model, found.policy, found.level) == ("Event", policy, level)


async def test_records_without_lifetime_are_safe_under_volatile_policies(db: Database) -> None:
    await Event(id="a", kind="k").save()
    await memory.set_policy(db, "volatile-lru")
    assert [found.level for found in await memory.judge(db)] == ["ok"]


async def test_policy_that_takes_indexes_is_warned_of(db: Database) -> None:
    await memory.set_policy(db, "allkeys-random")
    with pytest.warns(memory.EvictionWarning, match="index keys"):
        assert len(await memory.warn_of_eviction(db, Event)) == 1


async def test_usage_is_near_what_the_server_counts(db: Database) -> None:
    await Event(id="first", kind="k").save()  # scripts are loaded by now
    before = (await memory.report(db)).used
    await fill(5000)
    grown = (await memory.report(db)).used - before
    seen = await memory.usage(Event)
    assert seen.records == 5001
    assert seen.sampled_records == 200
    assert seen.index_bytes > 5000 * 50
    assert 0.75 < seen.bytes / grown < 1.25


async def test_usage_of_nothing_is_nothing(db: Database) -> None:
    seen = await memory.usage(Event)
    assert (seen.records, seen.bytes, seen.per_record) == (0, 0, 0.0)
