"""What type checkers accept, and what they make of it. Checked by `test_type_checkers.py`, never run."""

# pyright: strict, reportUnusedExpression=false
# ruff: noqa: E711, E712, SIM300 - what columns make of these comparisons is what is checked

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, ClassVar, Generic, Literal, TypeVar, assert_type
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from redisom_lite import Composite, Database, Field, Key, Manager, Meta, Model, Range, Tag, Unique, new_id
from redisom_lite.batch import Handle
from redisom_lite.cache import Cache
from redisom_lite.columns import (
    DecimalColumn,
    KeyColumn,
    MultiTagColumn,
    RangeColumn,
    TagColumn,
    TextColumn,
    UniqueColumn,
)
from redisom_lite.containers import Counter, HashMap, ListQueue, Part
from redisom_lite.errors import RedisomError
from redisom_lite.plan.expression import Condition, Term
from redisom_lite.transaction import Transaction

T = TypeVar("T")
M = TypeVar("M", bound=Model)

db = Database("memory://")


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Product(Model):
    meta = Meta(db=db, prefix="shop:product", indexes=[Composite("category", "price")])

    sku: Key[str] = Field(default_factory=new_id)
    name: Range[str] = Field(min_length=1)
    category: Tag[str] = Field()
    tags: Tag[set[str]] = Field(default_factory=set)
    price: Range[Decimal] = Field(ge=0)
    stock: Range[int] = Field(default=0)
    released: Range[datetime | None] = Field(default=None)
    ean: Unique[str | None] = Field(default=None)
    blurb: str = ""


class Session(Model):
    objects = Manager(ttl=timedelta(minutes=30), sliding=True)
    meta = Meta(db=db)
    token: Key[str]
    user: Tag[str]


# In the constructor and on an instance a field is its value.

product = Product(name="x", category="c", price=Decimal(1))
Product(
    sku="a", name="x", category="c", tags={"t"}, price=Decimal(1), stock=3, released=None, ean="4", blurb="b"
)
Session(token="t", user="u")

assert_type(product.sku, str)
assert_type(product.tags, set[str])
assert_type(product.price, Decimal)
assert_type(product.released, datetime | None)
assert_type(product.blurb, str)
assert_type(product.pk, str | int | UUID)
product.price = Decimal(2)
product.released = None
product.tags.add("new")
product.stock += 1


# On the class it is a column.

assert_type(Product.sku, KeyColumn[str])
assert_type(Product.name, TextColumn)
assert_type(Product.category, TagColumn[str])
assert_type(Product.tags, MultiTagColumn[str])
assert_type(Product.price, DecimalColumn)
assert_type(Product.stock, RangeColumn[int])
assert_type(Product.released, RangeColumn[datetime])
assert_type(Product.ean, UniqueColumn[str | None])
assert_type(Product.blurb, str)


class Everything(Model):
    id: Key[UUID]
    text: Range[str | None] = Field(default=None)
    cost: Range[Decimal | None] = Field(default=None)
    weight: Range[float] = Field(default=0)
    ratio: Range[float | None] = Field(default=None)
    active: Range[bool] = Field(default=True)
    level: Range[Level] = Field(default=Level.LOW)
    day: Range[date | None] = Field(default=None)
    took: Range[timedelta] = Field(default=timedelta())
    color: Tag[Color | None] = Field(default=None)
    kind: Tag[Literal["a", "b"]] = Field(default="a")
    kind_or_none: Tag[Literal["a", "b"] | None] = Field(default=None)
    words: Tag[list[str] | None] = Field(default=None)
    numbers: Tag[frozenset[int]] = Field(default=frozenset())
    path: Tag[tuple[str, ...]] = Field(default=())
    choices: Tag[set[Literal["a", "b"]]] = Field(default_factory=set)
    owner: Unique[UUID]


assert_type(Everything.id, KeyColumn[UUID])
assert_type(Everything.text, TextColumn)
assert_type(Everything.cost, DecimalColumn)
assert_type(Everything.weight, RangeColumn[float])
assert_type(Everything.ratio, RangeColumn[float])
assert_type(Everything.active, RangeColumn[bool])
assert_type(Everything.level, RangeColumn[Level])
assert_type(Everything.day, RangeColumn[date])
assert_type(Everything.took, RangeColumn[timedelta])
assert_type(Everything.color, TagColumn[Color | None])
assert_type(Everything.kind, TagColumn[Literal["a", "b"]])
assert_type(Everything.kind_or_none, TagColumn[Literal["a", "b"] | None])
assert_type(Everything.words, MultiTagColumn[str])
assert_type(Everything.numbers, MultiTagColumn[int])
assert_type(Everything.path, MultiTagColumn[str])
assert_type(Everything.choices, MultiTagColumn[Literal["a", "b"]])
assert_type(Everything.owner, UniqueColumn[UUID])


# Columns build conditions and terms.

conditions: list[Condition] = [
    Product.price < 5,
    Product.price < Decimal(5),
    Product.price == 5,
    5 <= Product.price,
    Decimal(5) > Product.price,
    Product.price.between(1, Decimal(2), bounds="[)"),
    Product.price.in_([1, Decimal(2)]),
    Product.price.is_none(),
    Everything.cost == None,
    Everything.cost.in_([1, None]),
    Product.stock != 5,
    5 < Product.stock,
    Product.name == "x",
    Product.name < "x",
    Product.name.startswith("x"),
    Product.name.between("a", "b"),
    Everything.text.startswith("x"),
    Product.released == None,
    Product.released != None,
    Product.released > datetime.now(),
    Product.released.in_([datetime.now(), None]),
    Everything.weight < 5,
    Everything.weight < 5.5,
    Everything.level >= Level.LOW,
    Everything.active == True,
    Everything.day < date.today(),
    Product.category == "c",
    Product.category != "c",
    Product.category.in_(["c", "d"]),
    Product.category.not_in({"c"}),
    Everything.color == Color.RED,
    Everything.color == None,
    Everything.color.in_([Color.RED, None]),
    Everything.kind == "a",
    Everything.kind_or_none == "b",
    Product.tags.has("t"),
    Product.tags.has_any(["t", "u"]),
    Product.tags.has_all(("t",)),
    Everything.words == None,
    Everything.words.is_none(),
    Everything.numbers.has(3),
    Everything.choices.has("a"),
    Product.ean == "4",
    Product.ean == None,
    Product.ean.in_(["4", None]),
    Everything.owner == UUID(int=1),
    Product.sku == "a",
    Product.sku.in_(["a", "b"]),
    Everything.id == UUID(int=1),
    (Product.price < 5) & (Product.stock > 0) | ~(Product.category == "c"),
]
terms: list[Term] = [Product.price.asc(), Product.name.desc(), Product.sku.asc(), Product.released.desc()]

assert_type(Product.price < 5, Condition)
assert_type(Product.category == "c", Condition)
assert_type(Product.price.desc(), Term)


# Managers know the class they stand in, and keep their own type.


class ProductManager(Manager["Item"]):
    async def cheap(self) -> list[Item]:
        return await self.find(Item.price < 5)


class Item(Product):
    objects = ProductManager()
    short = Manager(ttl="5m")
    annotated: ClassVar[Manager[Item]] = Manager(ttl=60)


class SubItem(Item):
    pass


assert_type(Product.objects, Manager[Product])
assert_type(Session.objects, Manager[Session])
assert_type(Item.objects, ProductManager)
assert_type(Item.short, Manager[Item])
assert_type(Item.annotated, Manager[Item])
assert_type(SubItem.objects, ProductManager)
assert_type(Everything.objects, Manager[Everything])


async def load(pk: str) -> None:
    assert_type(await Product.objects.get(pk), Product)
    assert_type(await Product.objects.get_or_none(pk), Product | None)
    assert_type(await Item.objects.cheap(), list[Item])
    assert_type(await Product.objects.find(Product.price < 5).order_by(Product.price.desc()), list[Product])
    async for found in Session.objects.find(Session.user == "u"):
        assert_type(found, Session)


async def first_of(model: type[M]) -> M | None:
    return await model.objects.find().first()


async def use_first_of() -> None:
    assert_type(await first_of(Product), Product | None)


# Transactions: the function's callers do not give the transaction, nor a method's.


@db.atomic
async def sell(tx: Transaction, sku: str, count: int = 1) -> Product:
    found = await tx.get(Product, sku)
    assert_type(found, Product)
    assert_type(await tx.get_or_none(Product, sku), Product | None)
    assert_type(await tx.get_many(Session, [sku]), list[Session | None])
    assert_type(await tx.all(Product.objects.find(Product.price < 5)), list[Product])
    found.stock -= count
    tx.save(found, ttl="5m")
    tx.insert(Session(token="t", user="u"))
    tx.expire(found, timedelta(minutes=5))
    tx.delete(found)
    return found


@db.atomic(retries=3, backoff=0.01)
async def restock(tx: Transaction, *skus: str, count: int) -> int:
    return len(await tx.get_many(Product, skus)) + count


@db.atomic()
async def nothing(tx: Transaction) -> None: ...


class Shop:
    @db.atomic
    async def close(self, tx: Transaction, reason: str) -> bool:
        return bool(reason)

    @db.atomic(retries=0)
    async def open(self, tx: Transaction, *, since: datetime) -> datetime:
        return since

    @classmethod
    @db.atomic
    async def make(cls, tx: Transaction, name: str) -> str:
        return name


async def use_transactions(shop: Shop) -> None:
    assert_type(await sell("a"), Product)
    assert_type(await sell("a", count=2), Product)
    assert_type(await restock("a", "b", count=2), int)
    await nothing()
    assert_type(await shop.close("stocktaking"), bool)
    assert_type(await shop.open(since=datetime.now()), datetime)
    assert_type(await Shop.make("a"), str)
    async with db.transaction() as tx:
        assert_type(tx, Transaction)


async def use_batches(session: Session) -> None:
    async with db.batch() as batch:
        read = batch.get(Product, "a")
        several = batch.get_many(Product, ["a", "b"])
        saved = batch.save(session, ttl=5)
        there = batch.exists(Product, "a")
        gone = batch.delete(session)
        batch.expire(session, "1h")
    assert_type(read, Handle[Product])
    assert_type(read.result, Product)
    assert_type([each.result for each in several], list[Product | None])
    assert_type(saved.result, Session)
    assert_type(there.result, bool)
    assert_type(gone.result, bool)
    assert_type(read.error, RedisomError | None)


# Bases, mixins and generics.


class Timed(BaseModel):
    created: Range[datetime] = Field(default_factory=datetime.now)


class Owned(BaseModel, Generic[T]):
    owner: Tag[T]


class Base(Model, abstract=True):
    id: Key[int]
    note: Range[str] = Field(default="")


class Note(Timed, Owned[int], Base):
    title: Range[str]


note = Note(id=1, owner=5, title="t")
assert_type(note.owner, int)
assert_type(Note.id, KeyColumn[int])
assert_type(Note.created, RangeColumn[datetime])
assert_type(Note.note, TextColumn)
assert_type(Note.objects, Manager[Note])
Note.title.startswith("t") & (Note.created < datetime.now())


class Frozen(Model):
    model_config = ConfigDict(frozen=True)
    id: Key[int]


hash(Frozen(id=1))


def options() -> dict[str, Any]:
    """Constraints and metadata keep their names and types in editors."""
    return {
        "a": Field(default=1, ge=0, gt=0, le=1, lt=1, multiple_of=2, title="t", description="d", alias="b"),
        "b": Field(
            default_factory=list, min_length=1, max_length=2, pattern="x", examples=["e"], exclude=True
        ),
        "c": Field(default_factory=lambda data: data["a"], frozen=True, repr=False, strict=True),
    }


class Cart(Model):
    id: Key[str]
    items = Part(HashMap[str, int])
    log = Part(ListQueue[str])
    votes = Part(Counter, ge=0)


async def parts(cart: Cart) -> None:
    assert_type(cart.items, HashMap[str, int])
    assert_type(cart.votes, Counter)
    assert_type(Cart.items.of("c"), HashMap[str, int])
    assert_type(await cart.items.get("tea"), int | None)
    assert_type(await cart.log.pop(), str | None)
    Cart(id="c")


cache = Cache(db, "answers", ttl="5m", stale=timedelta(hours=1), negative=30)


@cache(key="search:{text}:{page}", depends_on=[Product, Product.category == "tea"], tags=["search"])
async def search(text: str, page: int = 1) -> list[Product]:
    return []


def of_category(category: str) -> list[Condition]:
    return [Product.category == category]


@cache(depends_on=of_category)
async def cheapest(category: str) -> Decimal | None:
    return None


class Catalogue:
    @cache(key="find:{text}", depends_on=Product.objects.find(Product.price < 5))
    async def find(self, text: str) -> list[str]:
        return []

    @staticmethod
    @cache(key="count")
    async def count() -> int:
        return 0


async def one() -> int:
    return 1


async def cached(catalogue: Catalogue) -> None:
    assert_type(await search("tea", page=2), list[Product])
    assert_type(await cheapest("tea"), Decimal | None)
    assert_type(await catalogue.find.delete("tea"), bool)
    assert_type(await catalogue.find("tea"), list[str])
    assert_type(await Catalogue.count(), int)
    assert_type(search.key_of("tea"), str)
    assert_type(await search.delete("tea", 1), bool)
    assert_type(await cache.get_or_load("k", one, depends_on=[Product]), int)
    assert_type(await cache.get("k", type=int), int | None)
    assert_type(await cache.get("k", 0, type=int), int)
    await cache.set("k", 1, tags="t", depends_on=Product.price < 5)
    assert_type((await cache.stats()).hits, int)
