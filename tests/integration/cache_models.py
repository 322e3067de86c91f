"""What the tests of caches share: a model to depend on, and a loader that counts its runs."""

from __future__ import annotations

import asyncio
from typing import Any

from redisom_lite import Field, Key, Meta, Model, Range, Tag, Unique


class Product(Model):
    meta = Meta(prefix="cache-product")

    sku: Key[str]
    category: Tag[str] = Field(default="tea")
    tags: Tag[set[str]] = Field(default_factory=set)
    name: Range[str] = ""
    price: Range[int | None] = 0
    ean: Unique[str | None] = None
    blurb: str = ""


class Spread(Model):
    meta = Meta(prefix="cache-spread", partitions=3)

    n: Key[int]
    kind: Tag[str] = Field(default="k")


class Loader:
    """An async function without arguments that gives, or raises, what it is told to, after a while.

    Where that is None, it waits for `leave`.
    """

    def __init__(self, gives: Any = None, *, after: float | None = 0.0) -> None:
        self.gives = gives
        self.after = after
        self.runs = 0
        self.begun = asyncio.Event()
        self.leave = asyncio.Event()

    async def __call__(self) -> Any:
        self.runs += 1
        self.begun.set()
        gives = self.gives
        await (self.leave.wait() if self.after is None else asyncio.sleep(self.after))
        if isinstance(gives, BaseException):
            raise gives
        return gives
