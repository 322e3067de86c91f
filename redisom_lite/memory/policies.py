"""The eviction policies of Redis and Valkey, and what each means for a model: pure knowledge, nothing is sent.

A server at its limit refuses writes (`noeviction`) or deletes keys of its own choice. Which keys it may choose is what
matters here: index keys carry no lifetime, so `volatile-*` never takes them and `allkeys-*` may.
Source: https://redis.io/docs/latest/develop/reference/eviction/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

Takes: TypeAlias = Literal["nothing", "keys with a lifetime", "any key"]
Level: TypeAlias = Literal["ok", "warning", "danger"]


class EvictionWarning(UserWarning):
    """The server's eviction policy may take what a model cannot do without."""


@dataclass(frozen=True, slots=True)
class Policy:
    """An eviction policy: which keys the server may delete to make room, and which of them it prefers."""

    name: str
    takes: Takes
    prefers: str

    @property
    def explanation(self) -> str:
        """What happens at the limit, in one sentence."""
        if self.takes == "nothing":
            return "at the limit writes are refused (OutOfMemoryError); nothing is deleted"
        return f"at the limit the server deletes {self.takes}, {self.prefers} first"


def _policies() -> Mapping[str, Policy]:
    found = {"noeviction": Policy("noeviction", "nothing", "")}
    for order, prefers in (
        ("lru", "the least recently used"),
        ("lfu", "the least frequently used"),
        ("lrm", "the least recently written"),
        ("random", "chosen at random"),
    ):
        found[f"volatile-{order}"] = Policy(f"volatile-{order}", "keys with a lifetime", prefers)
        found[f"allkeys-{order}"] = Policy(f"allkeys-{order}", "any key", prefers)
    found["volatile-ttl"] = Policy("volatile-ttl", "keys with a lifetime", "those that end soonest")
    return MappingProxyType(found)


POLICIES: Final = _policies()
"""Every policy by name. `*-lrm` exist from Redis 8.6 on."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a policy means for one model: `ok`, `warning` (records may go early) or `danger` (indexes may go)."""

    model: str
    policy: str
    level: Level
    text: str


def policy_named(name: str) -> Policy:
    """The policy of this name; one this release does not know is taken by its first word."""
    if name in POLICIES:
        return POLICIES[name]
    takes: Takes = "keys with a lifetime" if name.startswith("volatile-") else "any key"
    return Policy(name, takes, "by an order this release does not know")


def judged(model: str, policy: Policy, *, evictable: bool, mortal: int) -> Judgement:
    """Judge a policy for a model, of whose records `mortal` have a lifetime."""
    level, text = _judged(policy, evictable=evictable, mortal=mortal)
    return Judgement(model, policy.name, level, f"{model} under {policy.name}: {text}")


def _judged(policy: Policy, *, evictable: bool, mortal: int) -> tuple[Level, str]:
    if policy.takes == "any key":
        return "danger", (
            "the server may delete index keys, and with them whole answers: choose noeviction, or volatile-ttl "
            "and lifetimes for what may go; objects.check(repair=True) mends the damage"
        )
    if policy.takes == "nothing":
        return (
            "ok",
            "nothing is deleted; at the limit writes fail, so keep below it (on_pressure, trim, lifetimes)",
        )
    if not mortal:
        return "ok", "no record has a lifetime, so none can go; at the limit writes fail"
    if evictable:
        return "ok", f"up to {mortal} records with a lifetime may go early, as Meta(evictable=True) allows"
    return "warning", (
        f"up to {mortal} records with a lifetime may go early: declare Meta(evictable=True), so that counts "
        "look at each record, or choose noeviction"
    )
