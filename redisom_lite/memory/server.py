"""The server's memory: how much is used, what the limit is, what it does there; and changing the two settings."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from redisom_lite.engine import administration
from redisom_lite.engine.store import Store, store_of
from redisom_lite.errors import ConstraintError
from redisom_lite.memory.policies import POLICIES, EvictionWarning, Judgement, Policy, judged, policy_named
from redisom_lite.memory.sizes import Size, byte_count, readable
from redisom_lite.schema.record import Record
from redisom_lite.sweeping import models_of


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Memory in bytes; over the primaries of a cluster, sums.

    `used` is what the server allocated, `peak` its maximum since the start, `resident` what the system gave the
    process. `limit` is `maxmemory`, None where there is none. `pressure` is the share of the limit in use as eviction
    counts it (0.0 to 1.0 and a little more), on the fullest primary; None without a limit. `evicted` counts keys
    deleted by the policy since the start.
    """

    used: int
    peak: int
    resident: int
    limit: int | None
    policy: Policy
    pressure: float | None
    evicted: int

    @property
    def fragmentation(self) -> float:
        """Resident over used bytes: above 1.5 much is lost between allocations, below 1 the system swaps."""
        return self.resident / self.used if self.used else 1.0

    def __str__(self) -> str:
        limit = "no limit" if self.limit is None else f"of {readable(self.limit)} ({self.pressure or 0:.0%})"
        return (
            f"{readable(self.used)} used, {limit}, peak {readable(self.peak)}, "
            f"fragmentation {self.fragmentation:.2f}, {self.policy.name}, {self.evicted} evicted"
        )


async def report(db: Store) -> MemoryReport:
    """What the server says of its memory. Redis: INFO memory, INFO stats.

    Raises `BackendError` on `memory://`, which has no such figures.
    """
    fields = [
        await administration.info(db, place, "memory", "stats") for place in await administration.places(db)
    ]
    limits = [int(each.get("maxmemory", 0)) for each in fields]
    counted = [int(each["used_memory"]) - int(each.get("mem_not_counted_for_evict", 0)) for each in fields]
    shares = [used / limit for used, limit in zip(counted, limits, strict=True) if limit]

    def total(name: str) -> int:
        return sum(int(each.get(name, 0)) for each in fields)

    return MemoryReport(
        used=total("used_memory"),
        peak=total("used_memory_peak"),
        resident=total("used_memory_rss"),
        limit=sum(limits) if all(limits) else None,
        policy=policy_named(fields[0].get("maxmemory_policy", "noeviction")),
        pressure=max(shares) if shares else None,
        evicted=total("evicted_keys"),
    )


async def policy(db: Store) -> Policy:
    """The eviction policy in force. Redis: INFO memory."""
    return (await report(db)).policy


async def set_policy(db: Store, name: str) -> Policy:
    """Change the eviction policy until the server's next start. Redis: CONFIG SET.

    Raises `ConstraintError` for a name that is no policy, `AccessDeniedError` where a managed server forbids CONFIG.
    """
    if name not in POLICIES:
        raise ConstraintError(
            f"there is no such eviction policy: choose one of {', '.join(sorted(POLICIES))}"
        )
    for place in await administration.places(db):
        await administration.config_set(db, place, "maxmemory-policy", name)
    return POLICIES[name]


async def set_limit(db: Store, size: Size | None) -> None:
    """Change `maxmemory` (of each primary) until the server's next start; None takes it away. Redis: CONFIG SET.

    Raises `AccessDeniedError` where a managed server forbids CONFIG.
    """
    limit = 0 if size is None else byte_count(size, "set_limit()")
    for place in await administration.places(db):
        await administration.config_set(db, place, "maxmemory", str(limit))


async def judge(db: Store, *models: type[Record]) -> list[Judgement]:
    """What the policy in force means for these models; without any, for every model that lives in `db`.

    Redis: INFO, and ZCARD for each model.
    """
    in_force = await policy(db)
    return [await _judge(model, in_force) for model in models or tuple(models_of(db))]


async def _judge(model: type[Record], in_force: Policy) -> Judgement:
    store, schema = store_of(model), model.__redisom_schema__
    commands = [(b"ZCARD", base + b":due") for base in store.keyspace(schema).bases]
    mortal = sum(administration.unrefused(await store.transport.commands(commands, retry=True)))
    return judged(model.__name__, in_force, evictable=schema.evictable, mortal=mortal)


async def warn_of_eviction(db: Store, *models: type[Record]) -> list[Judgement]:
    """Warn (`EvictionWarning`) for each model whose records or indexes the server may delete; the judgements."""
    found = [each for each in await judge(db, *models) if each.level != "ok"]
    for each in found:
        warnings.warn(each.text, EvictionWarning, stacklevel=2)
    return found
