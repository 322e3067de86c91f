"""The made-up records that `redisom demo` and `redisom bench` store: deterministic, no real data."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from redisom_lite.fields import Field, Key, Range, Tag
from redisom_lite.meta import Composite, Meta
from redisom_lite.model import Model

_CATEGORIES = ("tea", "coffee", "cocoa", "juice")


class Item(Model):
    """Something for sale."""

    meta = Meta(prefix="item", indexes=[Composite("category", "price")])

    sku: Key[str]
    category: Tag[str]
    price: Range[Decimal] = Field(ge=0)
    stock: Range[int] = Field(default=0)


def items(count: int, *, start: int = 0) -> Iterator[Item]:
    """`count` items, the same each time."""
    for number in range(start, start + count):
        yield Item(
            sku=f"item-{number}",
            category=_CATEGORIES[number % len(_CATEGORIES)],
            price=Decimal(number * 7919 % 10_000) / 100,
            stock=number * 31 % 200,
        )
