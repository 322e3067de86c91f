"""What would survive: settings of snapshots and the append-only file, and the barrier."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from redisom_lite import Database, Key, Meta, Model
from redisom_lite.engine import embedded
from redisom_lite.errors import AccessDeniedError, BackendError, BackendTimeoutError, ConstraintError
from redisom_lite.reliability import health, persistence, saved, set_persistence
from tests import processes
from tests.servers import command


class Note(Model):
    meta = Meta(prefix="persistence-note")
    name: Key[str]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is unhealthy for a machine that was held up."""
    monkeypatch.setattr(sys.modules[health.__module__], "_SLOW", 60)


@pytest.fixture
def server() -> Iterator[embedded.EmbeddedServer]:
    with embedded.start() as started:
        yield started


@pytest.fixture
async def db(server: embedded.EmbeddedServer) -> AsyncIterator[Database]:
    async with Database(server.url) as opened:
        opened.bind(Note)
        yield opened


async def test_what_is_set_is_in_force(db: Database) -> None:
    found = await set_persistence(db, aof=True, fsync="always", snapshots=((900, 1), (60, 10_000)))
    assert (found.aof, found.fsync, found.snapshots) == (True, "always", ((900, 1), (60, 10_000)))
    assert found == await persistence(db)
    assert found.worst_loss == "nothing that was answered"
    off = await set_persistence(db, aof=False, snapshots=())
    assert (off.aof, off.fsync, off.snapshots, off.worst_loss) == (False, None, (), "everything")


async def test_changes_since_the_last_snapshot_are_counted(db: Database) -> None:
    await Note(name="a").save()
    before = await persistence(db)
    assert before.unsaved > 0
    assert await saved(db) == "snapshot"
    after = await persistence(db)
    assert (after.unsaved, after.snapshot_ok, after.saving) == (0, True, False)
    assert after.last_snapshot is not None
    assert datetime.now(UTC) - after.last_snapshot < timedelta(seconds=10)


async def test_file_synced_with_every_write_needs_no_waiting(db: Database) -> None:
    await set_persistence(db, aof=True, fsync="always")
    assert await saved(db) in ("fsync", "waitaof")


@pytest.mark.skipif(not shutil.which("valkey-server"), reason="needs valkey-server")
async def test_waitaof_is_used_where_the_server_has_it() -> None:
    with embedded.start(binary="valkey-server") as server:
        async with Database(server.url) as db:
            db.bind(Note)
            await set_persistence(db, aof=True, fsync="everysec")
            await Note(name="a").save()
            assert await saved(db) == "waitaof"


async def test_replicas_that_do_not_answer_are_an_error(db: Database) -> None:
    with pytest.raises(BackendTimeoutError, match="not known to be safe"):
        await saved(db, replicas=1, disk=False, timeout="50ms")


async def test_replica_that_answers_is_enough(tmp_path: Path, db: Database) -> None:
    with processes.run(tmp_path / "primary", "--repl-diskless-sync-delay", "0") as primary:  # noqa: SIM117 - its port
        with processes.run(tmp_path / "replica", "--replicaof", f"127.0.0.1 {primary.port}") as replica:
            processes.wait_for(
                lambda: "master_link_status:up" in replica.command("INFO", "replication"), "the link"
            )
            async with Database(f"redis://127.0.0.1:{primary.port}") as both:
                both.bind(Note)
                await Note(name="a").save()
                assert await saved(both, replicas=1, disk=False) == "replicas"
                assert replica.command("EXISTS", "{persistence-note}:r:a") == "1"
            async with Database(f"redis://127.0.0.1:{replica.port}") as second:
                seen = await health(second)
                assert [check.name for check in seen.checks if not check.ok] == ["role"]


async def test_barrier_for_nothing_is_refused(db: Database) -> None:
    with pytest.raises(ConstraintError):
        await saved(db, disk=False)


async def test_memory_url_says_that_it_has_no_persistence() -> None:
    async with Database("memory://persistence") as db:
        for asked in (persistence(db), saved(db), set_persistence(db, aof=True)):
            with pytest.raises(BackendError, match="use embedded://"):
                await asked


async def test_forbidden_config_hides_settings_and_refuses_changes(
    server: embedded.EmbeddedServer, db: Database
) -> None:
    await set_persistence(db, snapshots=((900, 1),))
    command(server.socket, "ACL SETUSER app on >secret ~* +@all -config")
    async with Database(server.url.replace("unix://", "unix://app:secret@")) as app:
        assert (await persistence(app)).snapshots == ()
        with pytest.raises(AccessDeniedError, match="change appendonly where it is managed"):
            await set_persistence(app, aof=True)


async def test_sound_server_is_healthy(db: Database) -> None:
    seen = await health(db)
    assert seen.ok
    assert seen.latency is not None
    assert "ok   memory: no limit is set" in str(seen)


async def test_memory_url_is_healthy_when_it_answers() -> None:
    async with Database("memory://health") as db:
        assert [check.name for check in (await health(db)).checks] == ["reachable"]


async def test_server_that_may_evict_indexes_is_not_healthy(
    server: embedded.EmbeddedServer, db: Database
) -> None:
    command(server.socket, "CONFIG SET maxmemory-policy allkeys-lru")
    assert [check.name for check in (await health(db)).checks if not check.ok] == ["eviction"]


async def test_server_that_is_away_is_a_failed_check_and_no_error() -> None:
    async with Database(f"redis://127.0.0.1:{processes.free_port()}", timeout=0.2) as db:
        seen = await health(db)
        assert not seen.ok
        assert seen.latency is None
