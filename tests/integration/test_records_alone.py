"""Mutations alone in their step: the short ways of apply.lua leave and answer what its long way does."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from redisom_lite import Database, Model
from redisom_lite.engine import writer
from redisom_lite.engine.scripts import Script, from_text, load
from redisom_lite.errors import RedisomError
from tests import oracle
from tests.integration.record_models import MODELS, Doc, Part, Product, Room, Session, opened

_SHORT = b"local way = alone and "
Sizes = tuple[int | None, ...]


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Whether steps go the long way, whatever they are."""
    text = load("apply").text
    assert text.count(_SHORT) == 1
    longer, chosen = from_text("apply", text.replace(_SHORT, b"local way = false and ")), {"on": False}

    def loaded(name: str) -> Script:
        return longer if name == "apply" and chosen["on"] else load(name)

    monkeypatch.setattr(writer, "load", loaded)
    return chosen


@pytest.mark.parametrize("seed", range(6))
async def test_short_ways_leave_what_the_long_way_does(
    url: str, long_way: dict[str, bool], seed: int
) -> None:
    sizes = (
        (None, -1, 0, 3) if seed % 3 else (None, -1, 0, 3, 2**53 + 1)
    )  # once one is inexact, the model stays so
    async with Database(url, namespace="short") as short, Database(url, namespace="long") as long:
        for number in range(250):
            act, chance = random.Random(f"{seed} {number}").choice(_ACTS), f"{seed} {number} again"
            outcomes: list[Any] = []
            for db in (short, long):
                long_way["on"] = db is long
                db.bind(*MODELS)
                try:
                    outcomes.append(await act(db, random.Random(chance), sizes))
                except RedisomError as error:
                    outcomes.append((type(error), str(error)))
            assert outcomes[0] == outcomes[1], number
            if number % 3 == 0:
                assert await _contents(short) == await _contents(long), number


async def test_number_over_an_entry_for_none_that_the_record_has_forgotten(url: str) -> None:
    async with opened(url) as db:  # whose every index is checked in the end
        await Room.objects.create(number=1, height=None, door=4, note="n")
        await db.redis.hdel("{room}:r:1", "_null")
        room = await Room.objects.get(1)
        room.height = 5
        await room.save()
        assert await Room.objects.find(Room.height.is_none()).count() == 0


async def _contents(db: Database) -> dict[bytes, Any]:
    """What is stored, without times and tokens."""
    found: dict[bytes, Any] = {}
    actual, ends, _ = await oracle._read(db.redis)
    prefix = db.namespace.encode()
    for key, holds in actual.items():
        if not key.startswith(b"{" + prefix) or key.endswith(b":op"):
            continue
        contents = sorted(holds) if key.endswith(b":due") else holds
        if isinstance(contents, dict):
            contents = {name: text for name, text in contents.items() if name != b"_v"}
        found[key.replace(prefix, b"")] = contents, key in ends
    return found


async def _create(db: Database, chance: random.Random, sizes: Sizes) -> Any:
    pk, size = chance.randrange(4), chance.choice(sizes)
    one: Any = chance.choice([_room, _room, _doc, _part, _product, _session])(pk, size, chance)
    if chance.random() < 0.4:
        return (await one.insert()).model_dump()
    return (await one.save(ttl=chance.choice([None, None, 1000]))).model_dump()


def _room(pk: int, size: int | None, chance: random.Random) -> Model:
    door, beds = chance.choice([None, None, chance.randrange(6)]), chance.choice([None, 2])
    return Room(number=pk, floor=chance.randrange(3), size=size, height=size, door=door, beds=beds)


def _doc(pk: int, size: int | None, chance: random.Random) -> Model:
    return Doc(id=pk, title="t" * pk, tag=chance.choice([None, "a"]), hits=pk)


def _part(pk: int, size: int | None, chance: random.Random) -> Model:
    return Part(id=pk, kind=chance.choice(["nut", "bolt"]), size=size)


def _product(pk: int, size: int | None, chance: random.Random) -> Model:
    price = Decimal(chance.randrange(100)) / 10
    return Product(
        sku=str(pk), tags=chance.choice([set(), {"x", str(pk)}]), price=price, weight=chance.random()
    )


def _session(pk: int, size: int | None, chance: random.Random) -> Model:
    return Session(token=str(pk), badge=str(chance.randrange(4)))


async def _change(db: Database, chance: random.Random, sizes: Sizes) -> Any:
    room = await Room.objects.get(chance.randrange(4))
    changes = {
        "size": chance.choice(sizes),
        "height": chance.choice(sizes),
        "beds": chance.choice(sizes),
        "area": Decimal(chance.randrange(100)) / 10,
        "floor": chance.randrange(3),
        "note": chance.choice([None, "n"]),
    }
    for name in chance.sample(sorted(changes), chance.choice([1, 1, 2, 3])):
        setattr(room, name, changes[name])
    return (await room.save(ttl=chance.choice([None, None, None, 2000]))).model_dump()


async def _change_product(db: Database, chance: random.Random, sizes: Sizes) -> Any:
    product = await Product.objects.get(str(chance.randrange(4)))
    product.stock, product.weight = chance.randrange(900), chance.choice([None, chance.random()])
    return (await product.save()).model_dump()


async def _add(db: Database, chance: random.Random, sizes: Sizes) -> Any:
    room, delta = await Room.objects.get(chance.randrange(4)), chance.randrange(-5, 6)
    deltas: Any = chance.choice([{"size": 2, "beds": 1}, {"floor": 1}, {"area": Decimal("0.1")}, {"door": 1}])
    if chance.random() < 0.2:
        return await room.inc(**deltas)
    return await room.inc(
        **{chance.choice(["size", "height", "height", "beds", "beds"]): delta}, ge=-3, le=12
    )


async def _add_behind(db: Database, chance: random.Random, sizes: Sizes) -> Any:
    """Of a versioned model: one who has read it before is too late."""
    pk = chance.randrange(4)
    doc, late = await Doc.objects.get(pk), await Doc.objects.get(pk)
    await doc.inc(hits=1)
    late.title = "late"
    return await late.save()


async def _delete(db: Database, chance: random.Random, sizes: Sizes) -> Any:
    model: Any = chance.choice([Room, Doc, Part, Product])
    return await model.objects.delete(str(chance.randrange(4)) if model is Product else chance.randrange(4))


async def _damage(db: Database, chance: random.Random, sizes: Sizes) -> Any:
    """What another program may do."""
    site = Room.objects.site()
    member = site.member_of(chance.randrange(4))
    key, base = site.keyspace.record_key(member), site.keyspace.bases[0]
    match chance.randrange(8):
        case 6:
            await db.redis.hdel(key, "_null")
        case 7:
            part = Part.objects.site()
            await db.redis.delete(part.keyspace.record_key(part.member_of(chance.randrange(4))))
        case 0 | 1:
            await db.redis.zrem(base + b":k", member)
        case 2:
            await db.redis.hdel(key, "beds")
        case 3 if await db.redis.exists(key):
            await db.redis.hset(key, "beds", "12x")
        case 4 if await db.redis.exists(key):
            await db.redis.zadd(base + b":due", {member: 1})  # overdue, and still there
        case _:
            await db.redis.delete(key)


_ACTS = (
    _create,
    _create,
    _create,
    _change,
    _change,
    _change_product,
    _add,
    _add,
    _add_behind,
    _delete,
    _damage,
    _damage,
)
