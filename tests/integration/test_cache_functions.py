"""`@cache(...)`: keys from arguments, types from annotations, methods, and what is refused where it stands."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, assert_type

import pytest
from pydantic import BaseModel, ConfigDict

from redisom_lite import Database, Key, Meta, Model
from redisom_lite.cache import Cache, Cached
from redisom_lite.errors import DeclarationError
from tests.integration.cache_models import Product


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as opened:
        opened.bind(Product)
        yield opened


@pytest.fixture
def cache(db: Database) -> Cache:
    return Cache(db, "functions", ttl="5m", early=0)


class Sku(BaseModel):
    code: str
    price: Decimal


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0


class Opaque:
    def __init__(self) -> None:
        self.n = 1


async def test_function_answers_from_the_cache(cache: Cache) -> None:
    runs: list[tuple[str, int]] = []

    @cache(key="search:{text}:{page}", ttl="1h")
    async def search(text: str, page: int = 1) -> list[Sku]:
        """Search."""
        runs.append((text, page))
        return [Sku(code=text, price=Decimal(page))]

    assert_type(search, Cached[[str, int], list[Sku]])
    assert await search("tea") == [Sku(code="tea", price=Decimal(1))]
    assert await search(page=1, text="tea") == await search("tea", 1)
    assert await search("tea", page=2) == [Sku(code="tea", price=Decimal(2))]
    assert runs == [("tea", 1), ("tea", 2)]
    assert search.__name__ == "search"
    assert search.__doc__ == "Search."
    assert inspect.iscoroutinefunction(search.__call__)
    assert list(inspect.signature(search).parameters) == ["text", "page"]
    assert search.key_of("tea") == "search:tea:1"
    assert await cache.get("search:tea:1", type=list[Sku]) is not None
    assert await search.delete("tea")
    assert not await search.delete("tea")
    await search("tea")
    assert len(runs) == 3


async def test_records_come_back(cache: Cache) -> None:
    @cache(depends_on=[Product])
    async def all_products() -> list[Product]:
        return await Product.objects.find()

    await Product(sku="a", price=None, tags={"x", "y"}).save()
    assert await all_products() == await all_products() == [await Product.objects.get("a")]


async def test_values_without_annotation_are_what_json_holds(cache: Cache) -> None:
    @cache(key="k:{n}")
    async def answer(n):  # type: ignore[no-untyped-def]  # that is the test
        return {"n": n}

    assert await answer(1) == await answer(1) == {"n": 1}


async def test_type_replaces_the_annotation(cache: Cache) -> None:
    class Local(BaseModel):
        n: int

    @cache(key="k", type=Local)
    async def answer() -> Local:
        return Local(n=1)

    assert await answer() == await answer() == Local(n=1)

    @cache(key="other")
    async def unknown() -> Local:
        return Local(n=1)

    with pytest.raises(DeclarationError, match=r"unknown.*Local.*type="):
        await unknown()


async def test_functions_lifetimes_are_its_own(cache: Cache, db: Database) -> None:
    @cache(key="none", ttl="1h", negative="1m")
    async def nothing() -> int | None:
        return None

    @cache(key="some", ttl="1h", negative="1m", stale="1h", early=0)
    async def something() -> int:
        return 0

    assert (await nothing(), await something()) == (None, 0)
    lives = [await db.redis.pttl(key) for key in await db.redis.keys("*cache:e:*")]
    assert sorted(round(ms / 60_000) for ms in lives) == [1, 120]


async def test_tags_are_templates_too(cache: Cache) -> None:
    runs: list[str] = []

    @cache(key="cart:{user}:{page}", tags=["user:{user}", "carts"])
    async def cart(user: str, page: int) -> str:
        runs.append(user)
        return user

    for user in ("ada", "bob"):
        await cart(user, 1)
        await cart(user, 2)
    await cache.invalidate("user:ada")
    await cart("ada", 1)
    await cart("bob", 1)
    assert runs == ["ada", "ada", "bob", "bob", "ada"]
    await cache.invalidate("carts")
    await cart("bob", 1)
    assert len(runs) == 6


# Methods


class Stateless:
    cache = Cache(Database("memory://"), "methods", ttl=60)

    @cache()
    async def answer(self, n: int) -> int:
        return n

    @staticmethod
    @cache(key="static:{n}")
    async def static(n: int) -> int:
        return n

    @classmethod
    @cache(key="class:{n}")
    async def of_class(cls, n: int) -> str:
        return f"{cls.__name__}{n}"


@dataclass
class Shop:
    name: str
    runs: int = 0

    async def _load(self, text: str) -> list[str]:
        self.runs += 1
        return [self.name, text]


async def test_methods_are_functions_of_their_object(cache: Cache) -> None:
    class Catalogue(Shop):
        @cache(key="find:{self.name}:{text}")
        async def find(self, text: str) -> list[str]:
            return await self._load(text)

    one, two = Catalogue("one"), Catalogue("two")
    assert_type(one.find, Cached[[str], list[str]])
    assert await one.find("tea") == await one.find(text="tea") == ["one", "tea"]
    assert await two.find("tea") == ["two", "tea"]
    assert (one.runs, two.runs) == (1, 1)
    assert one.find.key_of("tea") == "find:one:tea"
    assert await one.find.delete("tea")
    await one.find("tea")
    await two.find("tea")
    assert (one.runs, two.runs) == (2, 1)
    assert isinstance(Catalogue.find, Cached)


async def test_methods_of_models_are_cached_where_pydantic_is_told(cache: Cache, db: Database) -> None:
    class Tea(Model):
        model_config = ConfigDict(ignored_types=(Cached,))
        meta = Meta(db=db)
        name: Key[str]

        @cache()
        async def letters(self) -> list[str]:
            return list(self.name)

    assert await Tea(name="ab").letters() == await Tea(name="ab").letters() == ["a", "b"]
    assert Tea(name="ab").letters.key_of() != Tea(name="c").letters.key_of()


async def test_method_of_an_object_without_state_needs_no_template() -> None:
    with Stateless.cache._store.override("memory://methods"):
        assert await Stateless().answer(1) == await Stateless().answer(1) == 1
        assert await Stateless.static(2) == 2
        assert await Stateless.of_class(3) == "Stateless3"
    assert Stateless().answer.key_of(1) == Stateless().answer.key_of(1) != Stateless().answer.key_of(2)


async def test_method_of_an_object_that_nothing_tells_apart_is_refused(cache: Cache) -> None:
    class Api(Opaque):
        @cache()
        async def answer(self) -> int:
            return 1

    with pytest.raises(DeclarationError, match=r"argument self .*Api.*template"):
        await Api().answer()


# Templates


TEMPLATE_ERRORS: dict[str, tuple[str, str]] = {
    "unknown name": ("a:{txt}", "names 'txt', no argument of the function: it has text, page"),
    "position": ("a:{}", "names 'nothing'"),
    "number": ("a:{0}", "names '0'"),
    "unclosed": ("a:{text", "no template"),
    "run together": ("{text}{page}", "run into each other"),
    "letters between": ("{text}x{page}", "run into each other"),
}


@pytest.mark.parametrize("name", TEMPLATE_ERRORS)
@pytest.mark.parametrize("what", ["key", "tags"])
def test_template_that_cannot_work_is_refused(cache: Cache, name: str, what: str) -> None:
    template, message = TEMPLATE_ERRORS[name]
    options: Any = {what: template}
    with pytest.raises(DeclarationError, match=message):

        @cache(**options)
        async def search(text: str, page: int) -> int:
            return 1


def keyed(cache: Cache, template: str) -> Cached[[Any, Any], int]:
    @cache(key=template)
    async def function(a: Any, b: Any = None) -> int:
        return 1

    return function


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a:b", "c"), ("a", "b:c")),
        (("a", None), ("a", "None")),
        (("a", None), ("a", "%")),
        (("a%3A", "b"), ("a:", "b")),
        (("a", ""), ("a:", "")),
        (("", "a"), ("a", "")),
    ],
)
def test_template_keeps_different_arguments_apart(cache: Cache, one: Any, other: Any) -> None:
    function = keyed(cache, "x:{a}:{b}")
    assert function.key_of(*one) != function.key_of(*other)


@pytest.mark.parametrize(
    ("template", "value", "key"),
    [
        ("k:{a}", 5, "k:5"),
        ("k:{a}", True, "k:True"),
        ("k:{a}", Decimal("1.50"), "k:1.50"),
        ("k:{a}", Colour.RED, "k:red"),
        ("k:{a}", date(2024, 2, 29), "k:2024-02-29"),
        ("k:{a.code}", Sku(code="x", price=Decimal(1)), "k:x"),
        ("k:{a[1]}", ["x", "y"], "k:y"),
        ("k:{a:.2f}", 1.239, "k:1.24"),
        ("k:{a!r}", "x", "k:'x'"),
        ("k/{a}", "ä/b", "k/ä%2Fb"),
        ("{a}", "{a}", "{a}"),
        ("fixed", "x", "fixed"),
    ],
)
def test_template_writes_values_as_text(cache: Cache, template: str, value: Any, key: str) -> None:
    assert keyed(cache, template).key_of(value) == key


@pytest.mark.parametrize("value", [[1], {"a": 1}, Opaque(), Sku(code="x", price=Decimal(1)), object(), b"x"])
def test_value_without_a_text_is_refused_in_a_template(cache: Cache, value: Any) -> None:
    with pytest.raises(DeclarationError, match=r"a is of type \w+, which has no text of its own"):
        keyed(cache, "k:{a}").key_of(value)


# Digests


def digested(cache: Cache) -> Cached[[Any], int]:
    @cache()
    async def function(a: Any) -> int:
        return 1

    return function


DIFFERENT: list[Any] = [
    *(None, False, True, 0, 1, 2, 0.0, 1.0, "", "0", "1", "None", b"", b"1", Decimal(1), Decimal("1.0")),
    *(
        (),
        [],
        {},
        set(),
        [1],
        (1,),
        {1},
        {"1"},
        {1: 1},
        {"a": 1},
        {"a": None},
        [[1], 2],
        [1, [2]],
        ["1", "2"],
        ["12"],
    ),
    *(Colour.RED, Colour.BLUE, "red", Point(1), Point(2), Sku(code="a", price=Decimal(1)), {"code": "a"}),
    *(date(2024, 1, 1), datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), timedelta(1)),
    *(int, str, float("inf"), -1, -1.0),
]


def test_digest_tells_values_apart(cache: Cache) -> None:
    function = digested(cache)
    keys = [function.key_of(value) for value in DIFFERENT]
    assert len(set(keys)) == len(DIFFERENT)
    assert keys == [digested(cache).key_of(value) for value in DIFFERENT]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x", "y", "z"}, {"z", "y", "x"}),
        (Sku(code="a", price=Decimal(1)), Sku(code="a", price=Decimal(1))),
        (Point(1), Point(1)),
        (float("nan"), float("nan")),
    ],
)
def test_digest_of_equal_values_is_equal(cache: Cache, one: Any, other: Any) -> None:
    assert digested(cache).key_of(one) == digested(cache).key_of(other)


@pytest.mark.parametrize("value", [object(), Opaque(), len, lambda: 1, [object()], {"a": Opaque()}, iter([])])
def test_argument_without_a_stable_form_is_refused(cache: Cache, value: Any) -> None:
    with pytest.raises(
        DeclarationError, match=r"argument a of type \w+ has no form .* in every process.*template"
    ):
        digested(cache).key_of(value)


def test_digests_of_two_functions_differ(cache: Cache) -> None:
    @cache()
    async def one(a: int) -> int:
        return a

    @cache()
    async def two(a: int) -> int:
        return a

    assert one.key_of(1) != two.key_of(1)
    assert one.key_of(1) == one.key_of(a=1)


# Refused


def test_function_that_is_not_async_is_refused(cache: Cache) -> None:
    def plain() -> int:
        return 1

    async def generator() -> AsyncIterator[int]:
        yield 1

    for function in (plain, generator, 5, Opaque):
        with pytest.raises(DeclarationError, match="no async function"):
            cache()(function)  # type: ignore[arg-type]  # that is the test


def test_type_that_cannot_be_stored_is_refused(cache: Cache) -> None:
    with pytest.raises(DeclarationError):

        @cache(type=Opaque)
        async def answer() -> Opaque:
            return Opaque()


async def test_annotation_that_cannot_be_stored_is_refused(cache: Cache) -> None:
    @cache()
    async def answer() -> Opaque:
        return Opaque()

    with pytest.raises(DeclarationError, match="answer"):
        await answer()


async def test_call_that_does_not_fit_is_pythons_own_error(cache: Cache) -> None:
    @cache(key="k:{n}")
    async def answer(n: int) -> int:
        return n

    with pytest.raises(TypeError):
        await answer()  # type: ignore[call-arg]  # that is the test


@pytest.mark.parametrize("prefix", ["", None, 5])
def test_cache_without_a_name_is_refused(prefix: Any) -> None:
    with pytest.raises(DeclarationError, match="prefix"):
        Cache(Database("memory://"), prefix, ttl=60)
