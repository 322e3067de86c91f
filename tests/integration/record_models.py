"""The models of the record tests, and a database whose every index is checked by the oracle when a test ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PrivateAttr, field_validator

from redisom_lite import Composite, Database, Field, Key, Manager, Meta, Model, Range, Tag, Unique, new_id
from tests import oracle


class Product(Model):
    meta = Meta(prefix="shop:product", indexes=[Composite("category", "price"), Composite("tags", "stock")])

    sku: Key[str] = Field(default_factory=new_id)
    name: Range[str] = Field(default="x", min_length=1)
    category: Tag[str] = Field(default="tea")
    tags: Tag[set[str]] = Field(default_factory=set)
    price: Range[Decimal] = Field(default=Decimal(1), ge=0)
    stock: Range[int] = Field(default=0, le=1000)
    weight: Range[float | None] = Field(default=None)
    released: Range[datetime | None] = Field(default=None)
    ean: Unique[str | None] = Field(default=None)
    views: int = Field(default=0, ge=0)
    rating: float | None = 5.0
    debt: Decimal = Decimal(0)
    blurb: str = ""
    note: str | None = "none yet"
    links: list[str] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)


class Session(Model):
    objects = Manager(ttl=timedelta(minutes=30), sliding=True)
    brief = Manager(ttl="5s")
    lasting = Manager()

    token: Key[str] = Field(default_factory=new_id)
    user: Tag[str] = Field(default="ann")
    badge: Unique[str | None] = Field(default=None)
    level: Range[int] = Field(default=1)


class Doc(Model):
    meta = Meta(versioned=True)

    id: Key[int]
    title: Range[str] = Field(default="")
    tag: Tag[str | None] = Field(default=None)
    hits: Range[int] = Field(default=0)
    body: str = ""


class Part(Model):
    meta = Meta(partitions=3, evictable=True, indexes=[Composite("kind", "size")])

    id: Key[int]
    kind: Tag[str] = Field(default="bolt")
    size: Range[int | None] = Field(default=None)


class Room(Model):
    meta = Meta(indexes=[Composite("floor", "size")])

    number: Key[int]
    floor: Tag[int | None] = Field(default=0)
    size: Range[int | None] = Field(default=1)
    area: Range[Decimal] = Field(default=Decimal(1))
    door: Unique[int | None] = Field(default=None)
    height: Range[int | None] = Field(default=3)
    beds: int | None = 0
    note: str | None = None


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Grade(IntEnum):
    LOW = 1
    HIGH = 9


class Address(BaseModel):
    street: str
    lines: list[int] = Field(default_factory=list)


class Everything(Model):
    id: Key[UUID]
    i: Range[int | None] = Field(default=7)
    f: Range[float | None] = Field(default=None)
    d: Range[Decimal | None] = Field(default=None)
    b: Range[bool | None] = Field(default=None)
    dt: Range[datetime | None] = Field(default=None)
    day: Range[date | None] = Field(default=None)
    at: Range[time | None] = Field(default=None)
    span: Range[timedelta | None] = Field(default=None)
    grade: Range[Grade | None] = Field(default=None)
    text: Range[str | None] = Field(default=None)
    tag: Tag[str | None] = Field(default=None)
    tag_int: Tag[int | None] = Field(default=None)
    tag_bool: Tag[bool | None] = Field(default=None)
    tag_uuid: Tag[UUID | None] = Field(default=None)
    color: Tag[Color | None] = Field(default=None)
    lit: Tag[Literal["a", 2] | None] = Field(default=None)
    tags: Tag[list[str] | None] = Field(default=None)
    colors: Tag[frozenset[Color]] = Field(default=frozenset())
    pair: Tag[tuple[int, ...]] = Field(default=())
    unique: Unique[str | None] = Field(default=None)
    raw: bytes = b""
    nested: Address | None = None
    table: dict[str, int | None] = Field(default_factory=dict)
    free: Any = None


class Frozen(Model):
    model_config = ConfigDict(frozen=True)

    id: Key[str]
    size: Range[int] = Field(default=0)


class Checked(Model):
    id: Key[str]
    name: Tag[str] = Field(default="ann")
    low: int = 0
    high: int = 10
    _secret: str = PrivateAttr(default="unset")

    @field_validator("name")
    @classmethod
    def _lower(cls, name: str) -> str:
        if name == "nobody":
            raise ValueError("not a name")
        return name.lower()


MODELS: tuple[Any, ...] = (Product, Session, Doc, Part, Room, Everything, Frozen, Checked)


@asynccontextmanager
async def opened(url: str, *, namespace: str = "") -> AsyncGenerator[Database]:
    """The models bound to the database of `url`; every key is checked at the end."""
    async with Database(url, namespace=namespace) as db:
        db.bind(*MODELS)
        yield db
        await oracle.check(db, *MODELS)


async def stored(db: Database, model: Any, pk: object) -> dict[bytes, bytes]:
    """The hash of a record, as it is."""
    site = model.objects.site()
    found: dict[bytes, bytes] = await db.redis.hgetall(site.keyspace.record_key(site.member_of(pk)))
    return found


async def keys_of(db: Database) -> set[bytes]:
    """Every key there is, but for the registers of declarations and operations."""
    return {key for key in await db.redis.keys("*") if not key.endswith((b":op", b":meta"))}


NOW = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
