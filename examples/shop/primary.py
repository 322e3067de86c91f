"""The primary database: products and the orders that have been recorded, in SQLite. Slow on purpose.

It stands for whatever a shop already has. Every call takes `delay` seconds longer than it needs, so that the page shows
what a cache in front of it is good for.
"""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import TypeVar

from pydantic import BaseModel

T = TypeVar("T")

CATALOGUE = Path(__file__).parent / "catalogue.csv"

SCHEMA = """
create table if not exists product (
    sku text primary key, name text, category text, tags text, price text, stock integer, origin text, description text
);
create table if not exists sale (
    purchase text, sku text, quantity integer, price text, primary key (purchase, sku)
);
"""


class Details(BaseModel):
    """All there is to know of a product, but for what is left of it."""

    sku: str
    name: str
    category: str
    tags: list[str]
    price: Decimal
    origin: str
    description: str


class Article(Details):
    """A product as it is delivered: with how many there were."""

    stock: int


class Sale(BaseModel):
    """One line of an order."""

    sku: str
    quantity: int
    price: Decimal


class Primary:
    """`path` is the file; `delay` seconds are added to every call."""

    def __init__(self, path: Path | str, *, delay: float = 0.06) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._lock = Lock()
        self._delay = delay
        self.calls = 0
        with self._connection as connection:
            connection.executescript(SCHEMA)
            if not connection.execute("select 1 from product").fetchone():
                with CATALOGUE.open(newline="") as lines:
                    connection.executemany(
                        "insert into product values"
                        " (:sku, :name, :category, :tags, :price, :stock, :origin, :description)",
                        csv.DictReader(lines),
                    )

    def close(self) -> None:
        """Close the file, once the call under way has ended: its thread may outlive whoever asked."""
        with self._lock:
            self._connection.close()

    async def articles(self) -> list[Article]:
        """Every product."""
        rows = await self._run(lambda connection: connection.execute("select * from product").fetchall())
        return [Article(**{**row, "tags": row["tags"].split()}) for row in map(dict, rows)]

    async def details(self, sku: str) -> Details | None:
        """One product."""
        rows = await self._run(
            lambda connection: connection.execute("select * from product where sku = ?", [sku]).fetchall()
        )
        return Details(**{**dict(rows[0]), "tags": rows[0]["tags"].split()}) if rows else None

    async def change(self, sku: str, *, price: Decimal) -> bool:
        """Give a product another price; whether there is one."""
        changed = await self._run(
            lambda connection: (
                connection.execute("update product set price = ? where sku = ?", [str(price), sku]).rowcount
            )
        )
        return changed == 1

    async def record(self, purchase: str, lines: list[Sale]) -> None:
        """Record an order; doing so twice is as good as once."""
        rows = [(purchase, line.sku, line.quantity, str(line.price)) for line in lines]
        await self._run(
            lambda connection: (
                connection.executemany("insert or ignore into sale values (?, ?, ?, ?)", rows).rowcount
            )
        )

    async def sold(self) -> dict[str, int]:
        """How many of each product are in recorded orders."""
        rows = await self._run(
            lambda connection: connection.execute(
                "select sku, sum(quantity) as sold from sale group by sku"
            ).fetchall()
        )
        return {row["sku"]: row["sold"] for row in rows}

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.calls += 1
        return await asyncio.to_thread(self._slowly, work)

    def _slowly(self, work: Callable[[sqlite3.Connection], T]) -> T:
        time.sleep(self._delay)
        with self._lock, self._connection as connection:
            return work(connection)
