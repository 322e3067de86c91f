"""One class validates requests, documents them, shapes responses, and is stored."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from redisom_lite import Field, Key, Model, Range, Tag

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")


class Product(Model):
    sku: Key[str]
    name: Range[str] = Field(min_length=1, alias="title")
    tags: Tag[set[str]] = Field(default_factory=set)
    price: Range[Decimal] = Field(ge=0)


class Public(Model):
    sku: Key[str]
    price: Range[Decimal]


@pytest.fixture
def client() -> Any:
    app = fastapi.FastAPI()
    stored: dict[str, Product] = {}

    @app.post("/products", response_model=Product, status_code=201)
    async def create(product: Product) -> Product:
        stored[product.sku] = product
        return product

    @app.get("/products/{sku}")
    async def read(sku: str) -> Product:
        return stored[sku]

    @app.get("/public", response_model=list[Public])
    async def public() -> Any:
        return [product.model_dump() for product in stored.values()]

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_model_is_request_body_and_response(client: Any) -> None:
    body = {"sku": "a", "title": "Mug", "tags": ["x"], "price": "9.50"}
    assert (await client.post("/products", json=body)).json() == body
    assert (await client.get("/products/a")).json() == body
    assert (await client.get("/public")).json() == [{"sku": "a", "price": "9.50"}]


@pytest.mark.parametrize("change", [{"price": -1}, {"price": "x"}, {"title": ""}, {"sku": None}])
async def test_invalid_request_is_refused(client: Any, change: dict[str, Any]) -> None:
    body = {"sku": "a", "title": "Mug", "price": "9.50"} | change
    reply = await client.post("/products", json=body)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["body", next(iter(change))]


async def test_documentation_shows_plain_types(client: Any) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    product = schemas.get("Product") or schemas["Product-Input"]
    assert product["required"] == ["sku", "title", "price"]
    assert product["properties"]["tags"]["items"] == {"type": "string"}
