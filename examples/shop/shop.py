"""What one can do in the shop. Nothing here knows HTTP."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field

from examples.shop.models import (
    Line,
    Order,
    Product,
    Session,
    beginnings_of,
    bestsellers,
    db,
    outbox,
    words_of,
)
from examples.shop.primary import Details, Primary, Sale
from redisom_lite.cache import Cache
from redisom_lite.containers import Job
from redisom_lite.errors import RedisomError
from redisom_lite.query import Query
from redisom_lite.transaction import Transaction

logger = logging.getLogger("shop")

MOST = 99
"""Pieces of one product in a cart."""
VIEWED = 6
"""Products that a visitor is reminded of."""


class NoSuchProductError(LookupError):
    """There is no product with this number."""


class CannotSellError(Exception):
    """The cart is empty, or holds more of something than is left."""


class Search(BaseModel):
    """What is looked for. `text`: every word must begin a word of the product."""

    text: str = Field(default="", max_length=100)
    category: str | None = None
    tags: list[str] = Field(default_factory=list, max_length=20)
    low: Decimal | None = None
    high: Decimal | None = None
    available: bool = False
    order: Literal["name", "price", "-price"] = "name"
    after: str | None = None


class Item(BaseModel):
    """What a list shows of a product."""

    sku: str
    name: str
    category: str
    tags: list[str]
    price: Decimal
    stock: int

    @classmethod
    def of(cls, product: Product) -> Item:
        return cls(**product.model_dump(exclude={"tags"}), tags=sorted(product.tags))


class Found(BaseModel):
    """A page of products, the cursor of the next, and how many there are of what."""

    items: list[Item]
    next: str | None
    total: int
    categories: dict[str, int]
    tags: dict[str, int]


class Cart(BaseModel):
    """What a visitor is about to buy, and has looked at."""

    lines: list[Line]
    total: Decimal
    viewed: list[Item]


searches = Cache(db, "searches", ttl="5m")


@searches(depends_on=[Product])  # dropped by the next write of any product: a sale, a price
async def search(wanted: Search) -> Found:
    """Products that satisfy everything, a page of them."""
    order = {"name": Product.name.asc(), "price": Product.price.asc(), "-price": Product.price.desc()}
    everything, of_category = matching(wanted), matching(wanted, any_category=True)
    page, total, tags, categories = await asyncio.gather(
        everything.order_by(order[wanted.order]).page(size=12, after=wanted.after),
        everything.count(),
        everything.facets(Product.tags),
        of_category.facets(Product.category),
    )
    items = [Item.of(product) for product in page.items]
    return Found(items=items, next=page.next, total=total, categories=categories, tags=tags)


class Shop:
    """The shop over one primary database. Use it as `async with shop.open():`."""

    def __init__(self, primary: Primary) -> None:
        self.primary = primary
        self.details_cache = Cache(db, "details", ttl="1h", stale="1d", negative="30s")
        self._details = self.details_cache(key="{sku}")(primary.details)
        self._till = asyncio.Lock()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Connect, fill Redis from the primary database if it is empty, and record orders until the end."""
        async with db:
            if not await Product.objects.find().exists():
                await self.fill()
            waiting = await Order.objects.find(Order.recorded == False).pks()  # noqa: E712
            await outbox.push(*waiting)
            recording = asyncio.create_task(self._record_orders())
            try:
                yield
            finally:
                recording.cancel()
                await asyncio.gather(recording, return_exceptions=True)

    async def fill(self) -> None:
        """Make Redis know every product; what has been sold is taken off."""
        articles, sold = await self.primary.articles(), await self.primary.sold()
        await Product.objects.save_many(
            Product(
                sku=each.sku,
                name=each.name,
                category=each.category,
                tags=set(each.tags),
                price=each.price,
                stock=max(0, each.stock - sold.get(each.sku, 0)),
                words=beginnings_of(each.name, each.category, each.origin, *each.tags),
            )
            for each in articles
        )

    # Looking.

    async def search(self, wanted: Search) -> Found:
        """Products that satisfy everything, a page of them; from the cache, while no product changes."""
        return await search(wanted)

    async def details(self, sku: str) -> Details:
        """All there is to know of a product. The primary database is asked once, however many ask here.

        While it is away, visitors get what it said in the last day.
        """
        found = await self._details(sku)
        if found is None:
            raise NoSuchProductError("there is no such product")
        return found

    # Visitors.

    async def visitor(self, token: str | None) -> Session | None:
        """The session of a token, its half hour begun anew."""
        return await Session.objects.get_or_none(token) if token else None

    async def new_visitor(self) -> Session:
        """A session for somebody new."""
        return await Session.objects.create(token=secrets.token_urlsafe(24))

    async def look(self, visitor: Session, sku: str) -> None:
        """Remember that a visitor has looked at a product."""
        await visitor.viewed.add(sku, time.time())
        await visitor.viewed.keep_top(VIEWED)

    async def cart(self, visitor: Session) -> Cart:
        """What a visitor is about to buy, at today's prices."""
        viewed = [sku for sku, _ in await visitor.viewed.top(VIEWED)]
        wanted = {**dict.fromkeys(viewed, 0), **visitor.cart}
        products = {product.sku: product for product in await Product.objects.get_many(wanted) if product}
        lines = [
            Line(sku=sku, name=products[sku].name, quantity=quantity, price=products[sku].price)
            for sku, quantity in visitor.cart.items()
            if sku in products
        ]
        total = sum((line.quantity * line.price for line in lines), Decimal(0))
        return Cart(
            lines=lines, total=total, viewed=[Item.of(products[sku]) for sku in viewed if sku in products]
        )

    async def put(self, visitor: Session, sku: str, quantity: int) -> Session:
        """Have so many of a product in a visitor's cart; 0 takes it out."""
        if not await Product.objects.exists(sku):
            raise NoSuchProductError("there is no such product")
        return await _put(visitor.token, sku, min(quantity, MOST))

    async def buy(self, visitor: Session) -> Order:
        """Buy what is in a visitor's cart: everything, or, if not all of it is there, nothing.

        Buyers of this process queue up, rather than make each other's transactions fail; those of others are kept apart
        by the transaction.
        """
        async with self._till:
            order = await _buy(visitor.token)
        await outbox.push(order.id)
        for line in order.lines:
            await bestsellers.incr(line.sku, line.quantity)
        return order

    # Behind the counter.

    async def reprice(self, sku: str, price: Decimal) -> Product:
        """Give a product another price, for good and at once."""
        if not await self.primary.change(sku, price=price):
            raise NoSuchProductError("there is no such product")
        await self._details.delete(sku)
        product = await Product.objects.get(sku)
        return await product.update(price=price)

    async def restock(self, sku: str, pieces: int) -> Product:
        """Have more of a product."""
        product = await Product.objects.get_or_none(sku)
        if product is None:
            raise NoSuchProductError("there is no such product")
        await product.inc(stock=pieces)
        return product

    async def _record_orders(self) -> None:
        """Tell the primary database of orders. One whose recording fails or is interrupted comes up again."""
        while True:
            try:
                job = await outbox.take(lease="30s", wait="5s")
                if job is not None:
                    await self._record(job)
            except (RedisomError, sqlite3.Error) as error:
                logger.warning("an order waits to be recorded: %s", error)
                await asyncio.sleep(1)

    async def _record(self, job: Job[str]) -> None:
        try:
            order = await Order.objects.get_or_none(job.item)
            if order is not None:
                sales = [Sale(sku=line.sku, quantity=line.quantity, price=line.price) for line in order.lines]
                await self.primary.record(order.id, sales)
                await order.update(recorded=True)
        except sqlite3.Error:
            await job.give_back(delay="1s")
            raise
        await job.done()


def matching(wanted: Search, *, any_category: bool = False) -> Query[Product]:
    """The products that satisfy everything, or everything but the category."""
    query = Product.objects.find(
        Product.words.has_all([word for word in words_of(wanted.text) if len(word) > 1]),
        Product.tags.has_all(wanted.tags),
    )
    if wanted.category and not any_category:
        query = query.where(Product.category == wanted.category)
    if wanted.low is not None:
        query = query.where(Product.price >= wanted.low)
    if wanted.high is not None:
        query = query.where(Product.price <= wanted.high)
    return query.where(Product.stock > 0) if wanted.available else query


@db.atomic(retries=20)
async def _put(tx: Transaction, token: str, sku: str, quantity: int) -> Session:
    visitor = await tx.get(Session, token)
    if quantity > 0:
        visitor.cart[sku] = quantity
    else:
        visitor.cart.pop(sku, None)
    tx.save(visitor)
    return visitor


@db.atomic(retries=200)
async def _buy(tx: Transaction, token: str) -> Order:
    """The products, the cart and the order change together or not at all; whoever comes second reads anew."""
    visitor = await tx.get(Session, token)
    if not visitor.cart:
        raise CannotSellError("the cart is empty")
    lines: list[Line] = []
    for product, (sku, quantity) in zip(
        await tx.get_many(Product, list(visitor.cart)), visitor.cart.items(), strict=True
    ):
        if product is None or product.stock < quantity:
            left = 0 if product is None else product.stock
            raise CannotSellError(f"{sku if product is None else product.name}: {left or 'none'} left")
        product.stock -= quantity
        lines.append(Line(sku=sku, name=product.name, quantity=quantity, price=product.price))
        tx.save(product)
    order = Order(lines=lines)
    visitor.cart = {}
    tx.save(visitor)
    tx.insert(order)
    return order
