"""The shop over HTTP: JSON under `/api`, and a page that uses it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from examples.shop.figures import Figures, figures
from examples.shop.models import Order, Session
from examples.shop.primary import Details, Primary
from examples.shop.shop import CannotSellError, Cart, Found, NoSuchProductError, Search, Shop
from redisom_lite.errors import BackendError, ConflictError, ConstraintError, NotFoundError, QueryError

PAGE = Path(__file__).parent / "page"
COOKIE = "visitor"
HEADERS = {
    # nothing the page needs comes from elsewhere, and no script is written into it
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
STATUS: dict[type[Exception], int] = {
    NoSuchProductError: 404,
    NotFoundError: 404,
    CannotSellError: 409,
    ConflictError: 409,
    ConstraintError: 409,
    QueryError: 422,
    BackendError: 503,
    sqlite3.Error: 503,
}


class Quantity(BaseModel):
    """How many."""

    quantity: int = Field(ge=0)


class Change(BaseModel):
    """What to change about a product: its price, how many more there are."""

    price: Decimal | None = Field(default=None, ge=0, max_digits=8, decimal_places=2)
    add: int | None = Field(default=None, ge=1, le=1000)


router = APIRouter()


def the_shop(request: Request) -> Shop:
    """The shop of the application."""
    shop: Shop = request.app.state.shop
    return shop


async def known_visitor(request: Request) -> Session | None:
    """Whoever has been here before."""
    return await the_shop(request).visitor(request.cookies.get(COOKIE))


async def any_visitor(
    request: Request, response: Response, known: Annotated[Session | None, Depends(known_visitor)]
) -> Session:
    """Whoever is here, from now on known by a cookie."""
    visitor = known or await the_shop(request).new_visitor()
    response.set_cookie(COOKIE, visitor.token, httponly=True, samesite="lax")
    return visitor


TheShop = Annotated[Shop, Depends(the_shop)]
Visitor = Annotated[Session, Depends(any_visitor)]


@router.get("/api/products")
async def search(shop: TheShop, wanted: Annotated[Search, Query()]) -> Found:
    return await shop.search(wanted)


@router.get("/api/products/{sku}")
async def details(shop: TheShop, visitor: Visitor, sku: str) -> Details:
    found = await shop.details(sku)
    await shop.look(visitor, sku)
    return found


@router.patch("/api/products/{sku}", status_code=204)
async def change(shop: TheShop, sku: str, wanted: Change) -> None:
    if wanted.price is not None:
        await shop.reprice(sku, wanted.price)
    if wanted.add is not None:
        await shop.restock(sku, wanted.add)


@router.get("/api/cart")
async def cart(shop: TheShop, known: Annotated[Session | None, Depends(known_visitor)]) -> Cart:
    return await shop.cart(known) if known else Cart(lines=[], total=Decimal(0), viewed=[])


@router.put("/api/cart/{sku}")
async def put(shop: TheShop, visitor: Visitor, sku: str, wanted: Quantity) -> Cart:
    return await shop.cart(await shop.put(visitor, sku, wanted.quantity))


@router.post("/api/orders", status_code=201)
async def buy(shop: TheShop, visitor: Visitor) -> Order:
    return await shop.buy(visitor)


@router.get("/api/figures")
async def show_figures(shop: TheShop) -> Figures:
    return await figures(shop)


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGE / "index.html")


def create_app(primary: Primary) -> FastAPI:
    """The application over one primary database, which it closes at the end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with app.state.shop.open():
            yield
        primary.close()

    app = FastAPI(title="Teahouse", lifespan=lifespan)
    app.state.shop = Shop(primary)
    app.include_router(router)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    app.middleware("http")(_measured)
    for error, status in STATUS.items():
        app.add_exception_handler(error, _answer(status))
    return app


async def _measured(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    began = time.perf_counter()
    response = await call(request)
    response.headers.update(HEADERS)
    response.headers["Server-Timing"] = f"shop;dur={(time.perf_counter() - began) * 1000:.1f}"
    return response


def _answer(status: int) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def answer(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status)

    return answer
