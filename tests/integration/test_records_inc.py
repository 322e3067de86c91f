"""Adding to numbers on the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from redisom_lite import Database
from redisom_lite.errors import ConstraintError, NotFoundError, QueryError, UniqueError
from tests.integration.record_models import Doc, Everything, Product, Room, Session, opened, stored


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with opened(url) as opened_db:
        yield opened_db


async def test_inc_returns_new_values_and_updates_object_record_and_index(db: Database) -> None:
    product = await Product.objects.create(sku="a", stock=5, price=Decimal("1.10"), weight=0.5)
    assert await product.inc(stock=-2, price=Decimal("0.20"), weight=0.25, views=3) == {
        "stock": 3,
        "price": Decimal("1.30"),
        "weight": 0.75,
        "views": 3,
    }
    assert (product.stock, product.price, product.weight, product.views) == (3, Decimal("1.30"), 0.75, 3)
    assert await Product.objects.get("a") == product
    assert [
        one.sku for one in await Product.objects.find(Product.stock == 3, Product.price == Decimal("1.3"))
    ] == ["a"]


async def test_inc_leaves_nothing_to_save(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    await product.inc(stock=1)
    await (await Product.objects.get("a")).inc(stock=1)
    product.blurb = "new"
    await product.save()
    assert (await Product.objects.get("a")).stock == 2


async def test_inc_of_a_field_changed_in_memory_adds_to_what_is_stored(db: Database) -> None:
    product = await Product.objects.create(sku="a", stock=5)
    product.stock = 100
    assert await product.inc(stock=1) == {"stock": 6}
    assert product.stock == 6


@pytest.mark.parametrize("bound", [{"ge": 0}, {"gt": -1}, {"ge": Decimal(0)}, {"gt": -0.5}])
async def test_inc_stops_at_the_bounds_of_the_call(db: Database, bound: dict[str, Any]) -> None:
    product = await Product.objects.create(sku="a", stock=2, price=Decimal(9))
    with pytest.raises(ConstraintError, match=r"Product\.stock"):
        await product.inc(stock=-3, **bound)
    assert product.stock == 2
    assert await product.inc(stock=-2, **bound) == {"stock": 0}
    with pytest.raises(ConstraintError):
        await product.inc(price=1, stock=-1, **bound)
    assert (await Product.objects.get("a")).price == 9


async def test_inc_stops_at_the_bounds_of_the_field(db: Database) -> None:
    product = await Product.objects.create(sku="a", stock=999)
    await product.inc(stock=1)
    for change in ({"stock": 1}, {"price": Decimal("-1.01")}, {"views": -1}):
        with pytest.raises(ConstraintError):
            await product.inc(**change)
    with pytest.raises(ConstraintError):
        await product.inc(stock=-500, le=499)
    with pytest.raises(ConstraintError):
        await product.inc(stock=-500, lt=500)
    assert await Product.objects.get("a") == product


async def test_inc_of_none_is_refused_and_of_an_absent_field_starts_at_the_default(db: Database) -> None:
    product = await Product.objects.create(sku="a", rating=None)
    for name in ("rating", "weight"):
        with pytest.raises(ConstraintError, match=name):
            await product.inc(**{name: 1.0})
    await db.redis.hdel("{shop%3Aproduct}:r:a", "views")
    await db.redis.hset("{shop%3Aproduct}:r:a", "_null", "ean,released,weight")
    assert await product.inc(views=2, rating=1.0) == {"views": 2, "rating": 6.0}
    with pytest.raises(ConstraintError, match="weight"):
        await product.inc(weight=1.0)


async def test_inc_of_a_missing_record_is_not_found(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    await Product.objects.delete("a")
    with pytest.raises(NotFoundError):
        await product.inc(stock=1)


async def test_inc_refuses_what_is_no_number(db: Database) -> None:
    product = await Product.objects.create(sku="a", weight=1.0)
    wrong: list[dict[str, Any]] = [
        {"stock": 1.5},
        {"stock": "1"},
        {"stock": True},
        {"name": 1},
        {"unknown": 1},
        {"price": 0.1},
        {"price": Decimal("NaN")},
        {"weight": float("nan")},
        {"weight": float("inf")},
        {"weight": 10**400},
        {},
        {"stock": 1, "ge": "0"},
        {"stock": 1, "ge": float("nan")},
    ]
    for arguments in wrong:
        with pytest.raises(QueryError, match="Product"):
            await product.inc(**arguments)
    assert await Product.objects.get("a") == product


async def test_inc_of_a_tag_and_of_a_unique_value_moves_their_entries(db: Database) -> None:
    room, other = (
        await Room.objects.create(number=1, size=5, door=8),
        await Room.objects.create(number=2, door=9),
    )
    assert await room.inc(floor=-3) == {"floor": -3}
    assert await room.inc(door=3, size=1) == {"door": 11, "size": 6}
    assert [one.number for one in await Room.objects.find(Room.floor == -3, Room.size > 5)] == [1]
    assert [one.number for one in await Room.objects.find(Room.floor == 0)] == [2]
    assert (await Room.objects.find(Room.door == 11).one()).number == 1
    await other.inc(door=-1)  # 8 is free again
    with pytest.raises(UniqueError, match=r"Room\.door"):
        await other.inc(door=3)
    assert await Room.objects.get(2) == other


async def test_inc_of_a_tag_to_more_digits_than_an_index_holds_is_refused(db: Database) -> None:
    room = await Room.objects.create(number=1, floor=10**256 - 1, door=10**256 - 1)
    for name in ("floor", "door"):
        with pytest.raises(ConstraintError, match=rf"Room\.{name} would have more than 256 digits"):
            await room.inc(**{name: 1})
    assert await Room.objects.get(1) == room
    assert (await room.inc(floor=-1, door=-1)) == {"floor": 10**256 - 2, "door": 10**256 - 2}


async def test_inc_of_the_key_is_refused(db: Database) -> None:
    room = await Room.objects.create(number=1)
    with pytest.raises(QueryError, match=r"Room\.number is the key"):
        await room.inc(number=1)


async def test_inc_of_text_that_is_no_number_names_the_field(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    for text in ("-", "", "1-2", "x", "1e", "."):
        await db.redis.hset("{shop%3Aproduct}:r:a", "views", text)
        with pytest.raises(ConstraintError, match=r"Product\.views"):
            await product.inc(views=1)
    await db.redis.hset("{shop%3Aproduct}:r:a", "views", "0")


async def test_inc_of_floats_beyond_the_largest_is_infinity_and_nan_is_refused(db: Database) -> None:
    product = await Product.objects.create(sku="a", weight=1.7e308)
    assert await product.inc(weight=1.7e308) == {"weight": float("inf")}
    assert await Product.objects.get("a") == product
    await product.update(weight=-0.5)
    assert await product.inc(weight=0.5) == {"weight": 0.0}


async def test_inc_of_a_versioned_model_moves_its_version(db: Database) -> None:
    doc = await Doc.objects.create(id=1)
    assert await doc.inc(hits=2) == {"hits": 2}
    doc.title = "more"
    await doc.save()
    assert (await Doc.objects.get(1)).hits == 2


async def test_inc_slides_and_keeps_lifetimes(db: Database) -> None:
    sliding = await Session.objects.create(token="a")
    keeping = await Session.brief.create(token="b")
    await sliding.expire("1m")
    await keeping.expire("1m")
    await sliding.inc(level=1)
    await keeping.inc(level=1)
    assert timedelta(minutes=29) < (await sliding.ttl() or timedelta()) <= timedelta(minutes=30)
    assert timedelta(seconds=50) < (await keeping.ttl() or timedelta()) <= timedelta(minutes=1)


async def test_hundred_concurrent_incs_add_up(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    results = await asyncio.gather(*(product.inc(stock=1) for _ in range(100)))
    assert sorted(result["stock"] for result in results) == list(range(1, 101))
    assert (await Product.objects.get("a")).stock == 100


_DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.builds(
    lambda sign, digits, exponent: Decimal((sign, tuple(map(int, str(digits))), exponent)),
    st.integers(0, 1),
    st.integers(0, 10**60) | st.sampled_from([0, 1, 9, 10**12 - 1, 10**12, 10**24 - 1, 2**53, 2**53 + 1]),
    st.integers(-80, 80) | st.sampled_from([-400, 400]),
)
_INTEGERS = (
    st.integers() | st.integers(-(10**80), 10**80) | st.sampled_from([2**53, -(2**53) - 1, 10**15, -(10**14)])
)


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@_settings(150)
@given(start=_INTEGERS, step=_INTEGERS)
async def test_integers_of_any_length_are_added_exactly(real_url: str, start: int, step: int) -> None:
    async with opened(real_url) as db:
        record = await _record(i=start)
        assert await record.inc(i=step) == {"i": start + step}
        assert await Everything.objects.get(record.id) == record
        await db.redis.flushall()


@_settings(250)
@given(start=_DECIMALS, step=_DECIMALS)
async def test_decimals_of_any_length_are_added_exactly(real_url: str, start: Decimal, step: Decimal) -> None:
    async with opened(real_url):
        record = await _record(d=start)
        with localcontext(prec=2000, Emin=-9999, Emax=9999):
            expected = start + step
        found = (await record.inc(d=step))["d"]
        assert found == expected
        assert found.as_tuple().exponent == expected.as_tuple().exponent
        assert (await Everything.objects.get(record.id)).d == expected
        if abs(start) < 1e300 and abs(step) < 1e300:
            assert await Everything.objects.find(Everything.d == expected).count() == 1


@_settings(100)
@given(start=_DECIMALS, step=_DECIMALS, bound=_DECIMALS, op=st.sampled_from(["ge", "gt", "le", "lt"]))
async def test_bounds_are_compared_exactly(
    real_url: str, start: Decimal, step: Decimal, bound: Decimal, op: str
) -> None:
    async with opened(real_url):
        record = await _record(d=start)
        with localcontext(prec=2000, Emin=-9999, Emax=9999):
            expected = start + step
            holds = {
                "ge": expected >= bound,
                "gt": expected > bound,
                "le": expected <= bound,
                "lt": expected < bound,
            }
        if holds[op]:
            assert await record.inc(d=step, **{op: bound}) == {"d": expected}
        else:
            with pytest.raises(ConstraintError):
                await record.inc(d=step, **{op: bound})


async def _record(**values: Any) -> Everything:
    record = Everything(id="5b6b3f38-1b43-4fd2-9b38-4d3f2f0f6c1a", **values)
    return await record.save()


async def test_decimals_too_far_apart_are_refused(db: Database) -> None:
    record = await _record(d=Decimal("1E+5000"))
    with pytest.raises(ConstraintError, match="4300"):
        await record.inc(d=Decimal("1E-5000"))
    assert (await stored(db, Everything, record.id))[b"d"] == b"1E+5000"
