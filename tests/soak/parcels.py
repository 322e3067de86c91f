"""Records that are the worst to have: a hundred fields, long texts and keys, thousands of tags, inexact numbers."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from decimal import Decimal

from redisom_lite import Composite, Database, Field, Key, Meta, Model, Range, Tag, Unique
from redisom_lite.query import Query

COUNT = 12_000
SHOPS = 6_000
MARKS = 200
SAVED = ("parcels: save_many", "tickets: save_many")  # what the others read
_PLAIN = 90
_WIDE = {f"field_{n:02}": "some text" for n in range(_PLAIN)}


class _Wide(Model, abstract=True):
    id: Key[str]
    shop: Tag[str]
    marks: Tag[set[str]]
    price: Range[int]
    weight: Range[Decimal]
    title: Range[str]
    code: Unique[str]
    note: str


class Parcel(_Wide):
    """A parcel."""

    __annotations__ = dict.fromkeys(_WIDE, "str")
    meta = Meta(prefix="parcel", indexes=[Composite("shop", "price")])


class Ticket(Model):
    """Of few fields, so that many are written in one step; and many marks."""

    id: Key[int]
    marks: Tag[set[str]] = Field(default_factory=set)


def key(number: int) -> str:
    return f"{number:06}" + "k" * 250


def parcels() -> list[Parcel]:
    rng = random.Random(5)
    return [
        Parcel(
            id=key(n),
            shop=f"shop {n % SHOPS}",
            marks={f"mark {rng.randrange(1000)}" for _ in range(MARKS if n % 10 == 0 else 2)},
            price=rng.randrange(1000),
            weight=Decimal(2**60 + n % 7),
            title="a long title " * 30 + str(n),
            code=f"code {n}",
            note="x" * (10_000 if n % 20 == 0 else 10),
            **_WIDE,
        )
        for n in range(COUNT)
    ]


def tickets() -> list[Ticket]:
    marks = {f"mark {n}" for n in range(MARKS)}
    return [Ticket(id=n, marks=marks) for n in range(2_000)]


async def _all(query: Query[Parcel]) -> None:
    async for _ in query:
        pass


async def _pages(query: Query[Parcel]) -> None:
    after = None
    for _ in range(10):
        page = await query.page(size=100, after=after)
        after = page.next
        if after is None:
            return


def shapes() -> dict[str, Callable[[Database], Awaitable[object]]]:
    """Calls, by name, in this order: what they leave behind is what they found."""
    find = Parcel.objects.find
    shops = [f"shop {n}" for n in range(SHOPS)]
    codes = [f"code {n}" for n in range(0, COUNT, 2)]
    marks = [f"mark {n}" for n in range(1000)]
    titles = ["a long title " * 30 + str(n) for n in range(3000)]
    weights = [Decimal(2**60 + n) for n in range(3000)]
    many = Parcel.price.between(-1, -1)
    for n in range(500):
        many = many | ((Parcel.price == n) & (Parcel.shop == f"shop {n}"))
    none = ~(Parcel.shop == "no shop")
    for n in range(300):
        none = none & (Parcel.shop != f"shop {n}") & (Parcel.title != str(n)) & (Parcel.price != -n)
    found: dict[str, Callable[[Database], Awaitable[object]]] = {
        "parcels: save_many": lambda _: Parcel.objects.save_many(parcels()),
        "parcels: save_many again": lambda _: Parcel.objects.save_many(parcels()[:2000]),
        "parcels: page of 100 wide records": lambda _: (
            find(Parcel.price > 3).order_by(Parcel.price).limit(100).all()
        ),
        "parcels: first 100 by key": lambda _: find().limit(100).all(),
        "parcels: everything": lambda _: _all(find()),
        "parcels: values of everything": lambda _: find().values("note", "title", "marks"),
        "parcels: keys of everything": lambda _: find(Parcel.price >= 0).pks(),
        "parcels: pages by title": lambda _: _pages(find(Parcel.price < 500).order_by(Parcel.title.desc())),
        "parcels: pages by inexact number": lambda _: _pages(find().order_by(Parcel.weight.desc())),
        "parcels: every title by prefix, page": lambda _: (
            find(Parcel.title.startswith("")).order_by(Parcel.price.desc()).limit(20).all()
        ),
        "parcels: every title by prefix, count": lambda _: find(
            Parcel.title.startswith("a"), Parcel.price > 1
        ).count(),
        "parcels: 3,000 titles, page": lambda _: (
            find(Parcel.title.in_(titles)).order_by(Parcel.price).limit(20).all()
        ),
        "parcels: 3,000 titles excluded, count": lambda _: find(~Parcel.title.in_(titles)).count(),
        "parcels: 6,000 tags, by composite": lambda _: (
            find(Parcel.shop.in_(shops)).order_by(Parcel.price).limit(20).all()
        ),
        "parcels: 6,000 tags, other order": lambda _: (
            find(Parcel.shop.in_(shops)).order_by(Parcel.title).limit(20).all()
        ),
        "parcels: 6,000 tags, count by composite": lambda _: find(
            Parcel.shop.in_(shops), Parcel.price > 500
        ).count(),
        "parcels: 6,000 tags, count": lambda _: find(Parcel.shop.in_(shops)).count(),
        "parcels: 6,000 tags, explain": lambda _: (
            find(Parcel.shop.in_(shops)).order_by(Parcel.price).limit(20).explain()
        ),
        "parcels: 3,000 tags excluded, count": lambda _: find(Parcel.shop.not_in(shops[:3000])).count(),
        "parcels: 3,000 tags excluded, page": lambda _: (
            find(Parcel.shop.not_in(shops[:3000])).order_by(Parcel.price).limit(20).all()
        ),
        "parcels: any of 1,000 marks, page": lambda _: (
            find(Parcel.marks.has_any(marks)).order_by(Parcel.price).limit(20).all()
        ),
        "parcels: any of 1,000 marks, count": lambda _: find(Parcel.marks.has_any(marks)).count(),
        "parcels: all of 30 marks, count": lambda _: find(Parcel.marks.has_all(marks[:30])).count(),
        "parcels: 6,000 unique values, page": lambda _: (
            find(Parcel.code.in_(codes)).order_by(Parcel.price).limit(20).all()
        ),
        "parcels: 6,000 unique values, count": lambda _: find(Parcel.code.in_(codes)).count(),
        "parcels: 6,000 unique values excluded, count": lambda _: find(~Parcel.code.in_(codes)).count(),
        "parcels: 6,000 keys excluded, count": lambda _: find(
            ~Parcel.id.in_([key(n) for n in range(0, COUNT, 2)])
        ).count(),
        "parcels: 6,000 keys excluded, page": lambda _: (
            find(~Parcel.id.in_([key(n) for n in range(0, COUNT, 2)])).order_by(Parcel.price).limit(20).all()
        ),
        "parcels: 3,000 inexact numbers, count": lambda _: find(Parcel.weight.in_(weights)).count(),
        "parcels: 3,000 inexact numbers excluded, count": lambda _: find(~Parcel.weight.in_(weights)).count(),
        "parcels: inexact bounds, count": lambda _: find(Parcel.weight > Decimal(2**60 + 3)).count(),
        "parcels: inexact bounds, sum": lambda _: find(Parcel.weight > Decimal(2**60 + 3)).sum(Parcel.weight),
        "parcels: 500 alternatives, page": lambda _: find(many).order_by(Parcel.price).limit(20).all(),
        "parcels: 500 alternatives, count": lambda _: find(many).count(),
        "parcels: 900 exclusions, count": lambda _: find(none).count(),
        "parcels: facets of 6,000 tags": lambda _: find().facets(Parcel.shop),
        "parcels: facets of 1,000 marks": lambda _: find().facets(Parcel.marks),
        "parcels: facets of marks of a range": lambda _: find(Parcel.price > 1).facets(Parcel.marks),
        "parcels: facets of shops of a range": lambda _: find(Parcel.price > 1).facets(Parcel.shop),
        "parcels: least and greatest": lambda _: find(Parcel.price > 990).min(Parcel.title),
        "parcels: get_many": lambda _: Parcel.objects.get_many([key(n) for n in range(1000)]),
        "parcels: update by query": lambda _: find(Parcel.price < 200).update(price=7),
        "parcels: update of a tag by query": lambda _: find(Parcel.price < 200).update(shop="one"),
        "parcels: update of marks by query": lambda _: find(Parcel.price < 200).update(
            marks=set(marks[:MARKS])
        ),
        "parcels: expire by query": lambda _: find(Parcel.price < 200).expire("1h"),
        "parcels: delete by query": lambda _: find(Parcel.price < 500).delete(),
        "parcels: delete_many": lambda _: Parcel.objects.delete_many([key(n) for n in range(COUNT)]),
        "tickets: save_many": lambda _: Ticket.objects.save_many(tickets()),
        "tickets: save_many with ttl": lambda _: Ticket.objects.save_many(tickets(), ttl="1h"),
        "tickets: update by query": lambda _: Ticket.objects.find().update(marks={"one"}),
        "tickets: save_many again": lambda _: Ticket.objects.save_many(tickets()),
        "tickets: check": lambda _: Ticket.objects.check(),
        "tickets: delete_many": lambda _: Ticket.objects.delete_many(range(2_000)),
        "tickets: save_many to sweep": lambda _: Ticket.objects.save_many(tickets(), ttl="1ms"),
        "tickets: sweep": lambda _: Ticket.objects.sweep(),
    }
    return found
