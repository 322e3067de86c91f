"""What would survive a crash: snapshots (RDB), the append-only file (AOF), replicas; and waiting until it would."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Final, Literal, TypeAlias

from redisom_lite.engine import administration
from redisom_lite.engine.administration import Place
from redisom_lite.engine.store import Store
from redisom_lite.errors import BackendError, BackendTimeoutError, ConstraintError
from redisom_lite.schema.lifetime import Lifetime, milliseconds

Fsync: TypeAlias = Literal["always", "everysec", "no"]
Barrier: TypeAlias = Literal["waitaof", "fsync", "snapshot", "replicas"]
"""How `saved` knew: WAITAOF, an AOF synced with every write, a snapshot made for it, or replicas alone."""

_POLL: Final = 0.02


@dataclass(frozen=True, slots=True)
class Persistence:
    """How a server keeps its data.

    `snapshots` are the rules "after `seconds`, if at least `changes`" as pairs; `last_snapshot` when the last one
    succeeded (UTC, whole seconds; a server's start counts), `unsaved` the changes since, `snapshot_ok` whether the
    last attempt succeeded. `fsync` is None while the AOF is off, or where CONFIG is not allowed; `aof_ok` whether its
    last write and rewrite succeeded.
    """

    snapshots: tuple[tuple[int, int], ...]
    last_snapshot: datetime | None
    unsaved: int
    snapshot_ok: bool
    saving: bool
    aof: bool
    fsync: Fsync | None
    aof_ok: bool
    rewriting: bool

    @property
    def worst_loss(self) -> str:
        """What a crash may cost, in words."""
        if self.aof:
            return {
                "always": "nothing that was answered",
                "everysec": "about the last second",
                None: "seconds",
            }.get(self.fsync, "what the system had not written out, some 30 seconds")
        return "everything since the last snapshot" if self.snapshots else "everything"


async def persistence(db: Store) -> Persistence:
    """What is set and how it fares, on a cluster of one primary. Redis: INFO persistence, CONFIG GET where allowed.

    Raises `BackendError` on `memory://`.
    """
    return await _persistence(db, (await administration.places(db))[0])


async def _persistence(db: Store, place: Place) -> Persistence:
    seen = await administration.info(db, place, "persistence")
    on = seen.get("aof_enabled") == "1"
    last = int(seen.get("rdb_last_save_time", 0))
    return Persistence(
        snapshots=_rules(await _setting(db, place, "save")),
        last_snapshot=datetime.fromtimestamp(last, UTC) if last else None,
        unsaved=int(seen.get("rdb_changes_since_last_save", 0)),
        snapshot_ok=seen.get("rdb_last_bgsave_status") == "ok",
        saving=seen.get("rdb_bgsave_in_progress") == "1",
        aof=on,
        fsync=_fsync(await _setting(db, place, "appendfsync")) if on else None,
        aof_ok=seen.get("aof_last_write_status") == "ok" and seen.get("aof_last_bgrewrite_status") == "ok",
        rewriting=seen.get("aof_rewrite_in_progress") == "1",
    )


async def _setting(db: Store, place: Place, name: str) -> str:
    try:
        return await administration.config_get(db, place, name)
    except BackendError:
        return ""  # managed: it is not told, and not needed for the rest


def _rules(text: str) -> tuple[tuple[int, int], ...]:
    numbers = [int(word) for word in text.split()]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _fsync(text: str) -> Fsync | None:
    return {"always": "always", "everysec": "everysec", "no": "no"}.get(text)  # type: ignore[return-value]  # literals


async def set_persistence(
    db: Store,
    *,
    aof: bool | None = None,
    fsync: Fsync | None = None,
    snapshots: tuple[tuple[int, int], ...] | None = None,
) -> Persistence:
    """Change what is given until the server's next start; what is in force then. Redis: CONFIG SET on each primary.

    `snapshots=()` switches them off. Switching the AOF on writes all data once, in the background. Raises
    `AccessDeniedError` where a managed server forbids CONFIG.
    """
    settings: dict[str, str] = {}
    if fsync is not None:
        settings["appendfsync"] = fsync
    if aof is not None:
        settings["appendonly"] = "yes" if aof else "no"
    if snapshots is not None:
        settings["save"] = " ".join(f"{seconds} {changes}" for seconds, changes in snapshots)
    for place in await administration.places(db):
        for name, value in settings.items():
            await administration.config_set(db, place, name, value)
    return await persistence(db)


async def saved(db: Store, *, replicas: int = 0, disk: bool = True, timeout: Lifetime = 10.0) -> Barrier:
    """Wait until everything written so far (by anyone) would survive: on disk, and on `replicas` of the server.

    On disk: by WAITAOF where the server has it (Redis 7.2, Valkey) and its AOF is on; at once when the AOF is synced
    with every write; else by a snapshot made for it (BGSAVE), which costs a fork and a write of all data. `disk=False`
    asks for the replicas' memory alone (WAIT). On a cluster every primary is waited for. Returns how it is known.

    Raises `BackendTimeoutError` after `timeout`, `BackendError` when the disk refuses; the data are then written as
    usual, and not known to be safe.
    """
    if replicas < 0 or not (disk or replicas):
        raise ConstraintError("saved() waits for the disk, for 1 or more replicas, or for both")
    deadline = time.monotonic() + milliseconds(timeout, "saved(timeout=...)") / 1000
    how: Barrier = "replicas"
    for place in await administration.places(db):
        administration.require_server(db, "saved()")
        how = await _saved(db, place, replicas, disk, deadline)
    return how


async def _saved(db: Store, place: Place, replicas: int, disk: bool, deadline: float) -> Barrier:
    seen = await _persistence(db, place) if disk else None
    if seen is not None and seen.aof and await _waited(db, place, b"WAITAOF", (1, replicas), deadline):
        return "waitaof"
    if replicas:
        await _waited(db, place, b"WAIT", (replicas,), deadline)
    if seen is None:
        return "replicas"
    if seen.aof and seen.fsync == "always":
        return "fsync"
    await _snapshot(db, place, deadline)
    return "snapshot"


async def _waited(db: Store, place: Place, command: bytes, wanted: tuple[int, ...], deadline: float) -> bool:
    """Wait for acknowledgements; False when the server does not know the command.

    The commands speak of the writes of their own connection; one made here comes after all others' before it.
    """
    left = max(1, round((deadline - time.monotonic()) * 1000))
    mark = b"%b:saved" % (b"{%b}" % place if place else b"redisom")
    async with db.transport.session(place) as session:
        await session.send(b"SET", mark, b"", b"PX", 1000)
        try:
            reply = await session.send(command, *wanted, left, timeout=inf)
        except BackendError as error:
            if "unknown command" in str(error):
                return False
            raise
    reached: tuple[int, ...] = (reply,) if isinstance(reply, int) else tuple(reply)
    if any(got < want for got, want in zip(reached, wanted, strict=True)):
        raise BackendTimeoutError(
            "not every copy confirmed the writes in time: the data are not known to be safe"
        )
    return True


async def _snapshot(db: Store, place: Place, deadline: float) -> None:
    """Make a snapshot that has everything written before now; one under way may have begun too early."""
    begun = False
    while True:
        seen = await administration.info(db, place, "persistence")
        busy = seen.get("rdb_bgsave_in_progress") == "1" or seen.get("aof_rewrite_in_progress") == "1"
        if begun and not busy:
            if seen.get("rdb_last_bgsave_status") != "ok":
                raise BackendError("the snapshot failed: see the server's log, and its disk")
            return
        if not begun and not busy:
            await administration.ask(db, place, (b"BGSAVE",))
            begun = True
        if time.monotonic() > deadline:
            raise BackendTimeoutError("the snapshot was not done in time: the data are not known to be safe")
        await asyncio.sleep(_POLL)
