"""One report of what can be wrong with a server: each check says what it saw and what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from redisom_lite.engine import administration
from redisom_lite.engine.store import Store
from redisom_lite.errors import BackendError

_FULL = 0.9
_SLOW = 0.1


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: its name, whether it is as it should be, and what was seen."""

    name: str
    ok: bool
    seen: str


@dataclass(frozen=True, slots=True)
class Health:
    """All checks of a server; `latency` is a PING's round trip in seconds, None when there was no answer."""

    checks: tuple[Check, ...]
    latency: float | None = None

    @property
    def ok(self) -> bool:
        """Whether every check is."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        return "\n".join(
            f"{'ok  ' if check.ok else 'BAD '} {check.name}: {check.seen}" for check in self.checks
        )


async def health(db: Store) -> Health:
    """Look at reachability, memory, persistence and replication. Raises nothing: what fails is a check that is not ok.

    `memory://` has but reachability. Redis: PING, INFO.
    """
    begin = time.perf_counter()
    try:
        await db.ping()
        latency = time.perf_counter() - begin
        checks = [Check("reachable", latency < _SLOW, f"PING took {latency * 1000:.1f} ms")]
        for place in await administration.places(db):
            checks += _judged(await administration.info(db, place, *_SECTIONS)) if _has_figures(db) else ()
    except BackendError as error:
        return Health((Check("reachable", False, str(error)),))
    return Health(tuple(checks), latency)


_SECTIONS = ("memory", "persistence", "replication", "stats", "server")


def _has_figures(db: Store) -> bool:
    try:
        administration.require_server(db, "INFO")
    except BackendError:
        return False
    return True


def _judged(seen: Mapping[str, str]) -> Iterator[Check]:
    """What INFO says, judged."""
    limit, used = int(seen.get("maxmemory", 0)), int(seen.get("used_memory", 0))
    share = used / limit if limit else 0.0
    yield Check("memory", share < _FULL, f"{share:.0%} of the limit in use" if limit else "no limit is set")
    policy = seen.get("maxmemory_policy", "noeviction")
    yield Check(
        "eviction",
        not policy.startswith("allkeys-"),
        f"{policy}, {seen.get('evicted_keys', '0')} keys evicted",
    )
    saved = seen.get("rdb_last_bgsave_status", "ok") == "ok"
    yield Check(
        "snapshots", saved, "the last one succeeded" if saved else "the last one failed: see the server's log"
    )
    if seen.get("aof_enabled") == "1":
        written = seen.get("aof_last_write_status", "ok")
        yield Check("append-only file", written == "ok", f"the last write: {written}")
    loading = seen.get("loading") == "1"
    yield Check("loaded", not loading, "data are being loaded" if loading else "all data are loaded")
    role = seen.get("role", "master")
    if role == "master":
        yield Check("role", True, f"primary with {seen.get('connected_slaves', '0')} replicas")
    else:
        link = seen.get("master_link_status", "down")
        yield Check("role", False, f"a replica, which refuses writes; its link to the primary is {link}")
