"""What the shop shows of itself: products, visitors, sales, caches, memory."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from examples.shop.models import Order, Product, Session, bestsellers, db, outbox
from examples.shop.shop import Shop, searches
from redisom_lite import memory
from redisom_lite.errors import BackendError


class Bestseller(BaseModel):
    """How many of a product were sold."""

    name: str
    sold: int


class Figures(BaseModel):
    """Bytes where it says so; `memory_used` and `bytes_by_model` are None where the server does not tell (memory://)."""

    products: int
    pieces: int
    visitors: int
    orders: int
    unrecorded: int
    bestsellers: list[Bestseller]
    primary_calls: int
    caches: dict[str, dict[str, Any]]
    memory_used: int | None
    bytes_by_model: dict[str, int] | None


async def figures(shop: Shop) -> Figures:
    """The figures of this moment."""
    best = await bestsellers.top(5)
    sold = await Product.objects.get_many(sku for sku, _ in best)
    used, weights = await _memory()
    return Figures(
        products=await Product.objects.find().count(),
        pieces=await Product.objects.find().sum(Product.stock),
        visitors=await Session.objects.find().count(),
        orders=await Order.objects.find().count(),
        unrecorded=await outbox.len() + await outbox.leased(),
        bestsellers=[
            Bestseller(name=product.name, sold=int(count))
            for product, (_, count) in zip(sold, best, strict=True)
            if product
        ],
        primary_calls=shop.primary.calls,
        caches={
            "product details": (await shop.details_cache.stats()).to_dict(),
            "searches": (await searches.stats()).to_dict(),
        },
        memory_used=used,
        bytes_by_model=weights,
    )


async def _memory() -> tuple[int | None, dict[str, int] | None]:
    try:
        report = await memory.report(db)
        weights = {model.__name__: (await memory.usage(model)).bytes for model in (Product, Session, Order)}
    except BackendError:
        return None, None
    return report.used, weights
