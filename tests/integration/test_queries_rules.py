"""What a query may ask, what it is refused with, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from redisom_lite import Composite, Database, Field, Key, Meta, Model, Range, Tag, Unique
from redisom_lite.errors import (
    MultipleFoundError,
    NotBoundError,
    NotFoundError,
    QueryError,
    UnindexedFieldError,
)
from redisom_lite.testing import round_trips


class Book(Model):
    meta = Meta(indexes=[Composite("genre", "pages")])
    id: Key[int]
    genre: Tag[str | None] = None
    tags: Tag[set[str]] = Field(default_factory=set)
    pages: Range[int | None] = None
    price: Range[Decimal] = Decimal(0)
    weight: Range[float] = 0.0
    title: Range[str | None] = None
    printed: Range[datetime | None] = None
    isbn: Unique[str | None] = None
    blurb: str = ""


class Other(Model):
    id: Key[int]
    pages: Range[int] = 0


class Fleeting(Model):
    meta = Meta(evictable=True)
    id: Key[int]
    genre: Tag[str] = "a"
    pages: Range[int] = 0


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        database.bind(Book, Other, Fleeting)
        yield database


def test_conditions_have_no_truth() -> None:
    cheap = Book.price < 5
    with pytest.raises(TypeError, match=r"& \| ~"):
        bool(cheap)
    with pytest.raises(TypeError, match="between"):
        1 < Book.pages < 5  # type: ignore[operator]
    with pytest.raises(TypeError):
        cheap and Book.pages > 5
    with pytest.raises(TypeError):
        not cheap


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "unindexed": (lambda: Book.blurb < "x", UnindexedFieldError, "Book.blurb has no index .*Range"),
    "unindexed equality": (lambda: Book.blurb == "x", UnindexedFieldError, "Book.blurb .*Tag"),
    "unindexed order": (lambda: Book.blurb.asc(), UnindexedFieldError, "Book.blurb"),
    "order of a tag": (lambda: Book.genre < "x", QueryError, "Book.genre is declared Tag .*Range"),
    "equality of several": (lambda: Book.tags == {"x"}, QueryError, "Book.tags .*has()"),
    "has on one value": (lambda: Book.genre.has("x"), QueryError, "Tag.set"),
    "startswith on a number": (lambda: Book.pages.startswith("x"), QueryError, "Range.str"),
    "text for a number": (lambda: Book.pages == "5", QueryError, "expected int, got str"),
    "bool for a number": (lambda: Book.pages == True, QueryError, "expected int, got bool"),  # noqa: E712
    "float for an int": (lambda: Book.pages < 1.5, QueryError, "expected int, got float"),
    "float for a Decimal": (lambda: Book.price < 1.5, QueryError, "expected Decimal, got float"),
    "NaN": (lambda: Book.weight < float("nan"), QueryError, "NaN"),
    "None in an order": (lambda: Book.pages < None, QueryError, "is_none"),
    "None in between": (lambda: Book.pages.between(1, None), QueryError, "is_none"),
    "bounds": (lambda: Book.pages.between(1, 2, bounds="[["), QueryError, "bounds"),
    "surrogate": (lambda: Book.title == "\ud800", QueryError, "surrogate"),
    "in_ of a text": (lambda: Book.genre.in_("abc"), QueryError, "iterable"),
    "in_ of one value": (lambda: Book.pages.in_(5), QueryError, "iterable"),
    "condition of another model": (
        lambda: Book.objects.find(Other.pages > 1),
        QueryError,
        "Other.pages .*another model",
    ),
    "deep condition": (
        lambda: Book.objects.find(~(Book.pages.is_none() | (Other.pages > 1))),
        QueryError,
        "another",
    ),
    "order of another model": (
        lambda: Book.objects.find().order_by(Other.pages),
        QueryError,
        "another model",
    ),
    "plain bool": (lambda: Book.objects.find(True), QueryError, "condition"),
    "no condition": (lambda: Book.objects.find("pages > 1"), QueryError, "str is no condition"),
    "order by text": (lambda: Book.objects.find().order_by("pages"), QueryError, "order by columns"),
    "order by tag": (lambda: Book.objects.find().order_by(Book.genre), QueryError, "Book.genre"),
    "order by unindexed": (
        lambda: Book.objects.find().order_by(Book.blurb),
        UnindexedFieldError,
        "Book.blurb",
    ),
    "negative limit": (lambda: Book.objects.find().limit(-1), QueryError, "limit"),
    "float limit": (lambda: Book.objects.find().limit(1.0), QueryError, "limit"),
    "bool offset": (lambda: Book.objects.find().offset(True), QueryError, "offset"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_asked_is_refused_where_it_is_written(case: str) -> None:
    build, error, message = WRONG[case]
    with pytest.raises(error, match=message) as refused:
        build()
    assert "abc" not in str(refused.value)


async def test_aggregates_refuse_columns_that_cannot(db: Database) -> None:
    query = Book.objects.find()
    for call, error, message in (
        (query.sum(Book.title), QueryError, "no sum"),
        (query.sum(Book.printed), QueryError, "no sum"),
        (query.sum(Book.blurb), UnindexedFieldError, "Range"),
        (query.min(Book.genre), QueryError, "Range"),
        (query.max("blurb"), UnindexedFieldError, "Range"),
        (query.facets(Book.pages), QueryError, "Tag"),
        (query.facets(Book.blurb), UnindexedFieldError, "Tag"),
        (query.facets("nothing"), QueryError, "no field 'nothing'"),
        (query.values("nothing"), QueryError, "no field"),
        (query.values(Other.pages), QueryError, "another model"),
    ):
        with pytest.raises(error, match=message):
            await call


async def test_queries_of_an_unbound_model_say_how_to_bind_it() -> None:
    class Loose(Model):
        id: Key[int]

    with pytest.raises(NotBoundError, match=r"db\.bind\(Loose\)"):
        await Loose.objects.find()


async def test_queries_are_immutable_and_may_run_twice(db: Database) -> None:
    await Book.objects.save_many([Book(id=n, pages=n) for n in range(6)])
    base = Book.objects.find(Book.pages >= 2)
    narrowed = base.where(Book.pages < 5).order_by(Book.pages.desc()).limit(2)
    assert await base.count() == 4
    assert [b.id for b in await narrowed] == [4, 3]
    assert [b.id for b in await narrowed] == [4, 3]
    assert await base.order_by(Book.pages.desc()).order_by().pks() == [2, 3, 4, 5]


async def test_nothing_and_everything(db: Database) -> None:
    await Book.objects.save_many([Book(id=n, genre="x" if n else None, tags={"t"}) for n in range(3)])
    find = Book.objects.find
    nothing = [Book.genre.in_([]), Book.id.in_([]), Book.pages.in_([]), Book.tags.has_any([])]
    nothing += [
        Book.pages.between(5, 4),
        (Book.pages > 5) & (Book.pages < 5),
        Book.title.startswith("a") & (Book.title < "a"),
    ]
    for condition in nothing:
        assert await find(condition).pks() == []
        assert await find(condition).count() == 0
        assert await find(~condition).count() == 3
    assert await find(Book.tags.has_all([])).count() == 3
    assert await find(Book.genre.not_in([])).count() == 3
    limited = find().limit(0)
    assert (await limited, await limited.count(), await limited.exists(), await limited.first()) == (
        [],
        0,
        False,
        None,
    )
    assert (await limited.pks(), await limited.values("id"), await limited.sum("pages")) == ([], [], 0)
    assert [batch async for batch in limited.batches(5)] == []


async def test_none_is_no_value_and_its_negation_selects_it(db: Database) -> None:
    await Book.objects.save_many([Book(id=1, pages=1, genre="a"), Book(id=2), Book(id=3, pages=3, genre="b")])
    find = Book.objects.find
    assert await find(Book.pages != 1).pks() == [2, 3]
    assert await find(~(Book.pages > 1)).pks() == [1, 2]
    assert await find(Book.genre != "a").pks() == [2, 3]
    assert await find(Book.pages == None).pks() == [2]  # noqa: E711
    assert await find(Book.genre != None).pks() == [1, 3]  # noqa: E711
    assert await find(Book.genre.in_(["a", None])).pks() == [1, 2]
    assert await find(Book.isbn == None).count() == 3  # noqa: E711
    assert await find().order_by(Book.pages).pks() == [1, 3, 2]
    assert await find().order_by(Book.pages.desc()).pks() == [3, 1, 2]


async def test_one_wants_exactly_one(db: Database) -> None:
    await Book.objects.save_many([Book(id=1, pages=1), Book(id=2, pages=1)])
    assert (await Book.objects.find(Book.id == 1).one()).id == 1
    with pytest.raises(NotFoundError, match="Book"):
        await Book.objects.find(Book.id == 9).one()
    with pytest.raises(MultipleFoundError, match="Book"):
        await Book.objects.find(Book.pages == 1).one()
    assert (await Book.objects.find(Book.pages == 1).limit(1).one()).id == 1


async def test_values_read_only_the_fields_named(db: Database) -> None:
    await Book(id=1, pages=5, title="t", blurb="b" * 10_000, tags={"x"}).save()
    assert await Book.objects.find().order_by(Book.pages).values("id", Book.title, "tags") == [
        {"id": 1, "title": "t", "tags": {"x"}}
    ]
    (whole,) = await Book.objects.find().values()
    assert list(whole) == list(Book.model_fields)
    assert whole["price"] == Decimal(0)


async def test_aggregates_of_nothing(db: Database) -> None:
    query = Book.objects.find()
    assert (await query.sum("pages"), await query.sum("price"), await query.sum("weight")) == (0, 0, 0)
    assert (await query.min("pages"), await query.max("title"), await query.min("id")) == (None, None, None)
    assert await query.facets("genre") == {}


async def test_sums_are_exact_at_any_length(db: Database) -> None:
    one, other = Decimal("1E+40"), Decimal("1E-40")
    await Book.objects.save_many(
        [Book(id=1, price=one, pages=2**70), Book(id=2, price=other, pages=1), Book(id=3)]
    )
    assert await Book.objects.find().sum(Book.price) == Decimal("1" + "0" * 40 + "." + "0" * 39 + "1")
    assert await Book.objects.find().sum(Book.pages) == 2**70 + 1


async def test_facets_count_records_by_real_values(db: Database) -> None:
    await Book.objects.save_many(
        [
            Book(id=1, genre="a", tags={"x", "y"}),
            Book(id=2, genre="a" * 300, tags={"y"}),
            Book(id=3, genre="a"),
            Book(id=4),
            Book(id=5, genre="gone"),
        ]
    )
    await Book.objects.delete(5)
    assert await Book.objects.find().facets(Book.genre) == {"a": 2, "a" * 300: 1, None: 1}
    assert await Book.objects.find().facets("tags") == {"y": 2, "x": 1}
    assert await Book.objects.find(Book.tags.has("x")).facets(Book.genre) == {"a": 1}


async def test_raw_deleted_records_never_surface(db: Database) -> None:
    for model in (Other, Fleeting):
        await model.objects.save_many([model(id=n, pages=n % 5) for n in range(40)])
        gone = list(await db.redis.keys(f"*{model.meta.prefix or model.__name__.lower()}}}:r:*"))
        gone = [
            key for key in gone if int(key.rsplit(b":" if isinstance(key, bytes) else ":", 1)[1]) % 4 == 1
        ]
        await db.redis.delete(*gone)
        left = sorted((n for n in range(40) if n % 4 != 1), key=lambda n: (n % 5, n))
        query = model.objects.find().order_by(model.pages)
        if model is Fleeting:
            assert await query.count() == 30
            assert await query.sum("pages") == sum(n % 5 for n in left)
            assert sum((await query.facets("genre")).values()) == 30
        await db.redis.delete(*gone)
        assert await query.pks() == left
        assert [each.id for each in (await query.page(size=10)).items] == left[:10]
        assert [each.id for each in await query] == left
        assert await query.count() == 30, "what reading missed has been cleaned"
        assert (await model.objects.check()).ok


async def test_a_page_takes_one_round_trip(db: Database) -> None:
    await Book.objects.save_many([Book(id=n, pages=n, genre="ab"[n % 2]) for n in range(200)])
    await Book.objects.find().first()
    db.backend.reader.budget.ms = 1000  # a walk that fits one budget, however slow the machine
    query = Book.objects.find(Book.genre == "a", Book.pages > 20).order_by(Book.pages)
    for ask in (
        query.page,
        query.limit(20).all,
        query.count,
        query.exists,
        query.pks,
        lambda: query.facets("genre"),
    ):
        with round_trips(db) as trips:
            await ask()
        assert trips.count == 1, trips.names


@pytest.mark.parametrize(
    ("count", "expected"), [(24, 1), (25, 2), (40, 2), (41, 3), (100, 3), (101, 4), (600, 7)]
)
async def test_everything_is_read_in_growing_parts_as_its_plan_says(
    db: Database, count: int, expected: int
) -> None:
    await Book.objects.save_many([Book(id=n, pages=n) for n in range(count + 1)])
    await Book.objects.find().first()
    db.backend.reader.budget.ms = 1000
    query = Book.objects.find(Book.pages < count)
    with round_trips(db) as trips:
        assert len(await query) == count
    assert trips.count == expected, trips.names
    assert (await query.explain()).round_trips == expected


async def test_first_use_of_a_declaration_takes_one_round_trip_more(db: Database) -> None:
    class Paper(Model):
        """Another program's view of the same records."""

        meta = Meta(prefix="book")
        id: Key[int]
        pages: Range[int | None] = None

    await Book.objects.save_many([Book(id=n, pages=n) for n in range(50)])
    db.bind(Paper)
    db.backend.reader.budget.ms = 1000
    for expected in (2, 1, 1):
        with round_trips(db) as trips:
            page = await Paper.objects.find(Paper.pages > 20).order_by(Paper.pages).page(size=5)
        assert [paper.id for paper in page.items] == [21, 22, 23, 24, 25]
        assert trips.count == expected, trips.names


async def test_answers_do_not_depend_on_how_much_time_a_call_has(db: Database) -> None:
    await Book.objects.save_many(
        [
            Book(id=n, pages=n % 90 if n % 5 else None, genre="abc"[n % 3], title=str(n % 70), isbn=str(n))
            for n in range(400)
        ]
    )
    find = Book.objects.find
    queries = [
        find(Book.genre == "a", Book.pages > 20).order_by(Book.pages).limit(50),
        find(Book.genre == "a", Book.title.startswith("1")).order_by(Book.pages.desc()).limit(50),
        find(Book.genre.in_(["a", "b"])).order_by(Book.pages).limit(90),
        find((Book.pages > 80) | (Book.title == "7") & (Book.genre == "b")).order_by(Book.title).limit(60),
        find(~Book.isbn.in_(map(str, range(50, 1500)))).order_by(Book.pages),
        find(~Book.isbn.in_(map(str, range(50, 1500))), ~Book.title.in_(map(str, range(9)))),
        find(~(Book.genre == "a"), ~(Book.genre == "b"), Book.pages != 3, Book.pages != 4),
    ]
    answers = list[Any]()
    for ms in (1000.0, 0.0):
        db.backend.reader.budget.ms = ms
        answers.append(
            [
                (await q.pks(), [each.id for each in await q], await q.count(), await q.sum("pages"))
                for q in queries
            ]
        )
    assert answers[0] == answers[1]
    left = [n for n in range(50) if n % 70 not in range(9)]
    assert sorted(answers[0][5][0]) == left
    assert answers[0][6][0] == [n for n in range(400) if n % 3 == 2 and not (n % 5 and n % 90 in (3, 4))]


async def test_explain_counts_the_round_trips_that_a_page_takes(db: Database) -> None:
    await Book.objects.save_many(
        [
            Book(
                id=n,
                pages=n % 90 if n % 5 else None,
                genre="abc"[n % 3] if n < 990 else "rare",
                title=str(n % 70),
            )
            for n in range(1000)
        ]
    )
    await Book.objects.find().first()
    db.backend.reader.budget.ms = 1000
    find = Book.objects.find
    for query in (
        find(Book.genre == "a", Book.pages > 20).order_by(Book.pages).limit(20),
        find(Book.genre == "a").order_by(Book.title).limit(20),
        find(Book.genre == "rare").order_by(Book.pages).limit(20),  # and those without pages
        find(Book.genre == "rare", Book.pages >= 0).order_by(Book.pages).limit(20),
        find(Book.genre == "rare", ~Book.pages.is_none()).order_by(Book.pages.desc()).limit(20),
        find(~(Book.pages > 3)).order_by(Book.title).limit(5),
        find(Book.pages > 20).order_by(Book.pages, Book.title.desc()).limit(20),
        find(Book.id.in_(range(0, 100, 7))).limit(20),
        find(Book.pages > 5, Book.pages < 5).limit(3),
    ):
        plan = await query.explain(analyze=True)
        assert plan.actual is not None
        assert plan.round_trips == plan.actual.round_trips, str(plan)


async def test_iterating_holds_one_batch_at_a_time(db: Database) -> None:
    await Book.objects.save_many([Book(id=n, pages=n % 7) for n in range(50)])
    seen = 0
    async for book in Book.objects.find().order_by(Book.pages):
        seen += 1
        if seen == 10:
            break
        assert book.pages == (seen - 1) // 8
    batches = Book.objects.find().order_by(Book.pages).offset(5).limit(22).batches(10)
    assert [len(batch) async for batch in batches] == [10, 10, 2]


async def test_many_queries_at_once(db: Database) -> None:
    await Book.objects.save_many([Book(id=n, pages=n) for n in range(50)])
    counts = await asyncio.gather(*(Book.objects.find(Book.pages < n).count() for n in range(200)))
    assert counts == [min(n, 50) for n in range(200)]


@pytest.mark.parametrize("count", [60, 200, 700])
async def test_lists_of_many_values_answer_exactly(db: Database, count: int) -> None:
    books = [
        Book(
            id=n,
            pages=n % 7 if n % 3 else n,
            title=str(n % 5 if n % 4 else n),
            genre=f"g{n % 6 if n % 5 else n}",
            tags={f"t{n % 3}", f"t{n}"},
            price=2**60 + n % 800,
        )
        for n in range(1200)
    ]
    await Book.objects.save_many(books)
    listed = range(0, 2 * count, 2)
    for condition, holds in (
        (Book.pages.in_(listed), lambda book: book.pages in listed),
        (Book.title.in_([str(n) for n in listed]), lambda book: int(book.title) in listed),
        (Book.genre.in_([f"g{n}" for n in listed]), lambda book: int(book.genre[1:]) in listed),
        (
            Book.tags.has_any([f"t{n}" for n in listed]),
            lambda book: any(int(t[1:]) in listed for t in book.tags),
        ),
        (Book.price.in_([2**60 + n for n in listed]), lambda book: int(book.price) - 2**60 in listed),
        (Book.id.in_(listed), lambda book: book.id in listed),
    ):
        right = [book.id for book in books if holds(book)]
        query = Book.objects.find(condition)
        assert await query.count() == len(right)
        assert await query.pks() == right
        assert await query.where(Book.pages < 40).count() == sum(holds(b) and b.pages < 40 for b in books)
        by_pages = sorted(right, key=lambda n: (books[n].pages, n))
        assert await query.order_by(Book.pages).limit(30).offset(10).pks() == by_pages[10:40]
        backwards = await query.order_by(Book.price.desc()).limit(20).pks()
        assert backwards == sorted(right, key=lambda n: (-books[n].price, -n))[:20]
        assert await Book.objects.find(~condition).count() == 1200 - len(right)
