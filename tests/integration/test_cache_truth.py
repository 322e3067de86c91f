"""Cached queries against the queries themselves, while records are written at random: never a different answer."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from redisom_lite import Database
from redisom_lite.cache import Cache
from redisom_lite.errors import RedisomError
from tests.integration.cache_models import Product

NAMES = ["", "A", "Ab", "B", "a\0b", "ä"]
CATEGORIES = ["tea", "herbs", "cups", ""]
TAGS = ["x", "y", "z", "tea"]
PRICES = [None, 0, 1, 5, 2**60, 2**60 + 1]
SKUS = [f"s{n}" for n in range(12)]


def fields(chance: random.Random) -> dict[str, Any]:
    return {
        "category": chance.choice(CATEGORIES),
        "tags": set(chance.sample(TAGS, chance.randint(0, 3))),
        "name": chance.choice(NAMES),
        "price": chance.choice(PRICES),
        "ean": chance.choice([None, *map(str, range(20))]),
        "blurb": chance.choice("abc"),
    }


def leaf(chance: random.Random) -> Any:
    price = chance.choice(PRICES[1:])
    return chance.choice(
        [
            Product.category == chance.choice(CATEGORIES),
            Product.category.in_(chance.sample(CATEGORIES, 2)),
            Product.tags.has(chance.choice(TAGS)),
            Product.tags.has_all(chance.sample(TAGS, 2)),
            Product.name.startswith(chance.choice(NAMES)),
            Product.name == chance.choice(NAMES),
            Product.price > price,
            Product.price == price,
            Product.price.is_none(),
            Product.price.in_(chance.sample(PRICES, 3)),
            Product.ean == chance.choice("0123456789"),
            Product.ean.is_none(),
            Product.sku.in_(chance.sample(SKUS, 3)),
        ]
    )


def condition(chance: random.Random, depth: int = 2) -> Any:
    if not depth or chance.random() < 0.4:
        return leaf(chance)
    one, other = condition(chance, depth - 1), condition(chance, depth - 1)
    return chance.choice([one & other, one | other, ~one, one & ~other])


async def write(chance: random.Random) -> None:
    """One write; what the model refuses is no write."""
    sku, found = chance.choice(SKUS), condition(chance, 1)
    try:
        match chance.randrange(9):
            case 0 | 1:
                await Product(sku=sku, **fields(chance)).save(ttl=chance.choice([None, None, 0.02]))
            case 2 | 3:
                changed = fields(chance)
                name = chance.choice(list(changed))
                await (await Product.objects.get(sku)).update(**{name: changed[name]})
            case 4:
                await Product.objects.delete(sku)
            case 5:
                await Product.objects.save_many(
                    [Product(sku=each, **fields(chance)) for each in chance.sample(SKUS, 3)]
                )
            case 6:
                await Product.objects.find(found).update(price=chance.choice(PRICES))
            case 7:
                await Product.objects.find(found).limit(2).delete()
            case _:
                await (await Product.objects.get(sku)).inc(price=1)
    except RedisomError:
        return


@pytest.mark.parametrize("seed", range(2))
async def test_cached_queries_give_what_the_queries_give(url: str, seed: int) -> None:
    chance = random.Random(seed)
    async with Database(url) as db:
        db.bind(Product)
        cache = Cache(db, "truth", ttl="5m", early=0)
        conditions = [condition(chance) for _ in range(8)]

        async def ask(n: int) -> list[Product]:
            return await Product.objects.find(conditions[n])

        async def cached(n: int) -> list[Product]:
            return await cache.get_or_load(
                f"q{n}", lambda: ask(n), type=list[Product], depends_on=[conditions[n]]
            )

        for step in range(40):
            await write(chance)
            if chance.random() < 0.1:
                await asyncio.sleep(0.03)  # some expire
            for n in range(len(conditions)):
                before, answer, after = await ask(n), await cached(n), await ask(n)
                # nobody writes: what was there before and is not after has ended meanwhile
                lasting = [each for each in answer if each in after]
                assert lasting == after, f"step {step}, condition {n}"
                assert answer == [each for each in before if each in answer], f"step {step}, condition {n}"
        stats = await cache.stats()
        assert stats.hits > stats.loads
