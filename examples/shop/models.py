"""What lives in Redis. The models share a group, so that one transaction reaches them all, on a cluster too."""

from __future__ import annotations

import os
import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal

from pydantic import BaseModel, computed_field

from redisom_lite import Composite, Database, Field, Key, Manager, Meta, Model, Range, Tag, new_id
from redisom_lite.containers import Leaderboard, ListQueue, Part, SortedSet

GROUP = "shop"

db = Database(os.environ.get("REDISOM_URL") or "embedded://")

bestsellers = Leaderboard[str](db, "bestsellers", group=GROUP)
outbox = ListQueue[str](db, "outbox", group=GROUP)
"""Orders that the primary database is to hear of, by id."""


class Product(Model):
    """A product as it is found and sold: `stock` is what is left of it."""

    meta = Meta(db=db, prefix="product", group=GROUP, indexes=[Composite("category", "price")])

    sku: Key[str]
    name: Range[str]
    category: Tag[str]
    tags: Tag[set[str]] = Field(default_factory=set)
    price: Range[Decimal] = Field(ge=0)
    stock: Range[int] = Field(default=0, ge=0)
    words: Tag[set[str]] = Field(default_factory=set, exclude=True, repr=False)
    """How each word of its texts begins, from two letters on: what a search box types."""


class Session(Model):
    """A visitor, by the token in the cookie. Half an hour after the last visit it ends, and what it has with it."""

    objects = Manager(ttl="30m", sliding=True)
    meta = Meta(db=db, prefix="session", group=GROUP)

    token: Key[str]
    cart: dict[str, int] = Field(default_factory=dict)
    viewed = Part(SortedSet[str])


class Line(BaseModel):
    """So many of a product, at its price."""

    sku: str
    name: str
    quantity: int
    price: Decimal

    @computed_field
    def total(self) -> Decimal:
        return self.price * self.quantity


class Order(Model):
    """What was bought. `recorded`: the primary database knows of it."""

    meta = Meta(db=db, prefix="order", group=GROUP)

    id: Key[str] = Field(default_factory=new_id)
    placed: Range[datetime] = Field(default_factory=lambda: datetime.now(UTC))
    recorded: Tag[bool] = Field(default=False)
    lines: list[Line]

    @computed_field
    def total(self) -> Decimal:
        return sum((line.quantity * line.price for line in self.lines), Decimal(0))


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters and without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"\w+", "".join(char for char in plain if not unicodedata.combining(char)))


def beginnings_of(*texts: str) -> set[str]:
    """What may be typed for any of these words."""
    return {word[:size] for text in texts for word in words_of(text) for size in range(2, len(word) + 1)}
