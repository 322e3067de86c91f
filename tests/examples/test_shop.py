"""The shop over HTTP: in the process, and as `make shop` runs it."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from examples.shop.app import create_app
from examples.shop.models import Order, Product, Session, beginnings_of, db, outbox, words_of
from examples.shop.primary import Primary, Sale
from examples.shop.shop import Shop
from redisom_lite.testing import faults
from tests.examples.shop_program import ROOT, running

TIN = "limited-tin"
TINS = 100


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A visitor with cookies of its own."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop", timeout=60)


@pytest.fixture
async def primary(tmp_path: Path) -> Primary:
    return Primary(tmp_path / "primary.db", delay=0)


@pytest.fixture
async def app(url: str, primary: Primary) -> AsyncIterator[FastAPI]:
    application = create_app(primary)
    with db.override(url):
        async with application.router.lifespan_context(application):
            yield application


@pytest.fixture
async def visitor(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as opened:
        yield opened


async def found(visitor: httpx.AsyncClient, **wanted: Any) -> list[str]:
    reply = await visitor.get("/api/products", params=wanted)
    assert reply.status_code == 200, reply.text
    return [item["sku"] for item in reply.json()["items"]]


async def bought(visitor: httpx.AsyncClient, **pieces: int) -> httpx.Response:
    for sku, quantity in pieces.items():
        put = await visitor.put(f"/api/cart/{sku.replace('_', '-')}", json={"quantity": quantity})
        assert put.status_code == 200, put.text
    return await visitor.post("/api/orders")


def test_words_begin_as_they_are_typed() -> None:
    assert words_of("Crème brûlée, 75 %") == ["creme", "brulee", "75"]
    assert beginnings_of("Earl Grey") == {"ea", "ear", "earl", "gr", "gre", "grey"}


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what a background task does, up to ten seconds."""
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise TimeoutError("it did not happen")


# Searching


async def test_search_box_finds_by_the_beginnings_of_words(visitor: httpx.AsyncClient) -> None:
    assert await found(visitor, text="earl") == ["earl-grey"]
    assert await found(visitor, text="GRÉ ear") == ["earl-grey"]
    assert await found(visitor, text="uji") == ["gyokuro", "matcha"]
    assert await found(visitor, text="nothing like it") == []


async def test_filters_and_order(visitor: httpx.AsyncClient) -> None:
    assert await found(visitor, tags=["green", "mild"]) == ["longjing"]
    assert await found(visitor, category="ware", high=10, order="-price") == ["teacup", "strainer"]
    assert await found(visitor, category="tea", low=27, high=32, order="price") == [
        "white",
        "da-hong-pao",
        "gyokuro",
    ]
    reply = (await visitor.get("/api/products", params={"category": "tea", "tags": "rare"})).json()
    assert (reply["total"], reply["categories"]) == (3, {"tea": 3, "ware": 1})
    assert reply["tags"]["rare"] == 3


async def test_pages_show_every_product_once(visitor: httpx.AsyncClient) -> None:
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        reply = (await visitor.get("/api/products", params={"after": after} if after else {})).json()
        seen += [item["sku"] for item in reply["items"]]
        after = reply["next"]
    assert len(seen) == len(set(seen)) == reply["total"] == 48


async def test_bad_questions_are_refused(visitor: httpx.AsyncClient) -> None:
    assert (await visitor.get("/api/products", params={"after": "xyz"})).status_code == 422
    assert (await visitor.get("/api/products", params={"low": "cheap"})).status_code == 422
    assert (await visitor.get("/api/products", params={"order": "colour"})).status_code == 422


async def test_details_come_from_the_primary_database(visitor: httpx.AsyncClient) -> None:
    reply = await visitor.get("/api/products/sencha")
    assert reply.json()["origin"] == "Shizuoka"
    assert (await visitor.get("/api/products/none")).status_code == 404


# Caches


async def test_details_are_asked_of_the_primary_database_once(
    app: FastAPI, visitor: httpx.AsyncClient, primary: Primary
) -> None:
    before = primary.calls
    replies = await asyncio.gather(*(app.state.shop.details("sencha") for _ in range(200)))
    assert {reply.name for reply in replies} == {"Sencha Fukamushi"}
    assert primary.calls == before + 1
    for _ in range(3):
        assert (await visitor.get("/api/products/none")).status_code == 404
    assert primary.calls == before + 2
    caches = (await visitor.get("/api/figures")).json()["caches"]
    assert caches["product details"]["loads"] == 2


async def test_details_seen_before_are_there_while_the_primary_database_is_away(
    visitor: httpx.AsyncClient, primary: Primary
) -> None:
    await visitor.get("/api/products/sencha")
    primary.close()
    assert (await visitor.get("/api/products/sencha")).json()["name"] == "Sencha Fukamushi"
    assert (await visitor.get("/api/products/assam")).status_code == 503


async def test_searches_are_cached_until_a_product_changes(visitor: httpx.AsyncClient) -> None:
    async def loads() -> int:
        caches = (await visitor.get("/api/figures")).json()["caches"]
        return int(caches["searches"]["loads"])

    asked = {"tags": ["green", "mild"]}
    for _ in range(5):
        assert await found(visitor, **asked) == ["longjing"]
    assert await loads() == 1
    await bought(visitor, longjing=14)
    reply = await visitor.get("/api/products", params=asked)
    assert reply.json()["items"][0]["stock"] == 0
    assert await loads() == 2
    await visitor.patch("/api/products/longjing", json={"price": "20"})
    reply = await visitor.get("/api/products", params=asked)
    assert reply.json()["items"][0]["price"] == "20"
    assert await loads() == 3


# Visitors and carts


async def test_cart_belongs_to_its_visitor(app: FastAPI, visitor: httpx.AsyncClient) -> None:
    assert (await visitor.get("/api/cart")).json() == {"lines": [], "total": "0", "viewed": []}
    assert await Session.objects.find().count() == 0
    cart = (await visitor.put("/api/cart/sencha", json={"quantity": 2})).json()
    assert cart["total"] == "23.20"
    assert cart["lines"] == [
        {"sku": "sencha", "name": "Sencha Fukamushi", "quantity": 2, "price": "11.60", "total": "23.20"}
    ]
    async with client_of(app) as other:
        assert (await other.get("/api/cart")).json()["lines"] == []
    assert (await visitor.put("/api/cart/none", json={"quantity": 1})).status_code == 404
    assert (await visitor.put("/api/cart/sencha", json={"quantity": -1})).status_code == 422
    assert (await visitor.put("/api/cart/sencha", json={"quantity": 0})).json()["lines"] == []


async def test_cart_filled_from_many_tabs_loses_nothing(visitor: httpx.AsyncClient) -> None:
    await visitor.put("/api/cart/sencha", json={"quantity": 1})
    skus = [product.sku for product in await Product.objects.find().limit(20)]
    await asyncio.gather(*(visitor.put(f"/api/cart/{sku}", json={"quantity": 1}) for sku in skus))
    lines = (await visitor.get("/api/cart")).json()["lines"]
    assert {line["sku"] for line in lines} == {"sencha", *skus}


async def test_session_slides_and_takes_its_part_with_it(visitor: httpx.AsyncClient) -> None:
    await visitor.get("/api/products/assam")
    await visitor.get("/api/products/sencha")
    assert [item["sku"] for item in (await visitor.get("/api/cart")).json()["viewed"]] == ["sencha", "assam"]
    session = await Session.objects.find().one()
    await session.expire("1m")
    await visitor.get("/api/cart")
    left = await session.ttl()
    assert left is not None
    assert left.total_seconds() > 29 * 60
    assert (await session.viewed.ttl() or left).total_seconds() > 29 * 60
    await session.delete()
    assert await Session.viewed.of(session.token).len() == 0
    assert (await visitor.get("/api/cart")).json()["viewed"] == []


# Buying


async def test_order_takes_from_stock_and_reaches_the_primary_database(
    visitor: httpx.AsyncClient, primary: Primary
) -> None:
    reply = await bought(visitor, sencha=3, mug=1)
    assert reply.status_code == 201
    assert reply.json()["total"] == "52.80"
    assert (await Product.objects.get("sencha")).stock == 27
    assert (await visitor.get("/api/cart")).json()["lines"] == []
    assert (await visitor.post("/api/orders")).status_code == 409
    await eventually(Order.objects.find(Order.recorded == True).exists)  # noqa: E712
    assert await primary.sold() == {"sencha": 3, "mug": 1}
    figures = (await visitor.get("/api/figures")).json()
    assert figures["bestsellers"][0] == {"name": "Sencha Fukamushi", "sold": 3}
    assert figures["orders"] == 1


async def test_order_of_more_than_there_is_changes_nothing(visitor: httpx.AsyncClient) -> None:
    reply = await bought(visitor, sencha=1, gyokuro=9)
    assert (reply.status_code, reply.json()) == (409, {"detail": "Gyokuro: 8 left"})
    assert (await Product.objects.get("sencha")).stock == 30
    assert await Order.objects.find().count() == 0
    assert len((await visitor.get("/api/cart")).json()["lines"]) == 2


async def test_cart_bought_twice_at_once_is_sold_once(visitor: httpx.AsyncClient) -> None:
    await visitor.put("/api/cart/sencha", json={"quantity": 2})
    replies = await asyncio.gather(*(visitor.post("/api/orders") for _ in range(8)))
    assert sorted(reply.status_code for reply in replies) == [201] + [409] * 7
    assert (await Product.objects.get("sencha")).stock == 28


@pytest.mark.parametrize("buyers", [100, 500])
async def test_hundred_tins_are_sold_to_exactly_so_many(real_url: str, primary: Primary, buyers: int) -> None:
    app = create_app(primary)

    async def buyer() -> int:
        async with client_of(app) as visitor:
            return (await bought(visitor, limited_tin=1)).status_code

    with db.override(real_url):
        async with app.router.lifespan_context(app):
            outcomes = await asyncio.gather(*(buyer() for _ in range(buyers)))
            assert outcomes.count(201) == TINS
            assert outcomes.count(409) == buyers - TINS
            assert (await Product.objects.get(TIN)).stock == 0
            assert await Order.objects.find().count() == TINS
            assert (await Product.objects.check()).ok


async def test_two_shops_over_one_server_sell_a_hundred_tins(real_url: str, tmp_path: Path) -> None:
    """Two tills that know nothing of each other: only the transaction keeps them apart."""
    apps = [create_app(Primary(tmp_path / f"{n}.db", delay=0)) for n in range(2)]

    async def buyer(n: int) -> int:
        async with client_of(apps[n % 2]) as visitor:
            return (await bought(visitor, limited_tin=2)).status_code

    with db.override(real_url):
        async with apps[0].router.lifespan_context(apps[0]):
            outcomes = await asyncio.gather(*(buyer(n) for n in range(70)))
            assert outcomes.count(201) == 50
            assert (await Product.objects.get(TIN)).stock == 0


async def test_orders_the_primary_database_did_not_hear_of_are_told_at_the_next_start(
    url: str, primary: Primary
) -> None:
    with db.override(url):
        shop = Shop(primary)
        async with db:
            await shop.fill()
            visitor = await shop.new_visitor()
            await shop.put(visitor, "mug", 1)
            await shop.buy(visitor)
            await outbox.delete()  # the program was killed before it could push
            async with shop.open():
                await eventually(Order.objects.find(Order.recorded == True).exists)  # noqa: E712
            assert await primary.sold() == {"mug": 1}


async def test_orders_the_primary_database_refuses_are_told_again(
    visitor: httpx.AsyncClient, primary: Primary, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, refused = primary.record, 0

    async def refusing(purchase: str, lines: list[Sale]) -> None:
        nonlocal refused
        refused += 1
        if refused == 1:
            raise sqlite3.OperationalError("the disk is full")
        await record(purchase, lines)

    monkeypatch.setattr(primary, "record", refusing)
    await bought(visitor, mug=2)
    await eventually(Order.objects.find(Order.recorded == True).exists)  # noqa: E712
    assert (await primary.sold(), refused) == ({"mug": 2}, 2)


# Behind the counter


async def test_new_price_is_in_the_primary_database_and_in_the_search(
    visitor: httpx.AsyncClient, primary: Primary
) -> None:
    assert (await visitor.get("/api/products/sencha")).json()["price"] == "11.60"
    assert "sencha" not in await found(visitor, high=5)
    assert (await visitor.patch("/api/products/sencha", json={"price": "4.20"})).status_code == 204
    assert (await visitor.get("/api/products/sencha")).json()["price"] == "4.20"
    assert "sencha" in await found(visitor, high=5)
    details = await primary.details("sencha")
    assert details is not None
    assert details.price == Decimal("4.20")
    assert (await visitor.patch("/api/products/none", json={"price": 1})).status_code == 404
    assert (await visitor.patch("/api/products/sencha", json={"price": -1})).status_code == 422


async def test_new_pieces_are_in_stock(visitor: httpx.AsyncClient) -> None:
    await bought(visitor, gyokuro=8)
    assert "gyokuro" not in await found(visitor, category="tea", tags="rare", available=True)
    await visitor.patch("/api/products/gyokuro", json={"add": 5})
    assert "gyokuro" in await found(visitor, category="tea", tags="rare", available=True)


async def test_server_that_is_away_is_said_so(visitor: httpx.AsyncClient) -> None:
    with faults(db, times=1000):
        assert (await visitor.get("/api/figures")).status_code == 503


async def test_page_needs_nothing_from_elsewhere(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    for link in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
        assert not link.startswith(("http:", "https:", "//"))
        assert (await visitor.get(f"/{link}")).status_code == 200, link


# As `make shop` runs it


async def test_shop_runs_on_its_own_and_stops() -> None:
    with running(REDISOM_URL="embedded://") as address:
        async with httpx.AsyncClient(base_url=address, timeout=30) as visitor:
            reply = await visitor.get("/api/products", params={"text": "earl"})
            assert reply.json()["total"] == 1
            assert (await bought(visitor, earl_grey=1)).status_code == 201
            assert (await visitor.get("/api/figures")).json()["memory_used"] > 0


def test_port_that_is_taken_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "examples.shop", "--port", port],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert "choose another --port" in done.stderr
    assert "Traceback" not in done.stderr
