"""Saving, inserting, changing and deleting one record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from decimal import Decimal

import pytest
from pydantic import ValidationError

from redisom_lite import Database
from redisom_lite.errors import (
    AlreadyExistsError,
    ConflictError,
    ConstraintError,
    NotFoundError,
    QueryError,
    UniqueError,
)
from tests.integration.record_models import Checked, Doc, Frozen, Part, Product, keys_of, opened, stored


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with opened(url) as opened_db:
        yield opened_db


async def test_save_new_object_writes_it_whole(db: Database) -> None:
    product = Product(sku="a", name="Earl Grey", tags={"x", "y"}, price=Decimal("5.10"), ean="123")
    assert await product.save() is product
    loaded = await Product.objects.get("a")
    assert loaded == product
    assert loaded.model_dump() == product.model_dump()
    assert (await stored(db, Product, "a"))[b"_null"] == b"released,weight"


async def test_save_new_object_over_a_record_replaces_it(db: Database) -> None:
    await Product(sku="a", tags={"x"}, ean="1", weight=3.0, price=Decimal(2)).save()
    await db.redis.hset("{shop%3Aproduct}:r:a", "unknown", "kept by partial saves only")
    await Product(sku="a", tags={"y"}, category="coffee").save()
    loaded = await Product.objects.get("a")
    assert (loaded.tags, loaded.category, loaded.ean, loaded.weight) == ({"y"}, "coffee", None, None)
    assert b"unknown" not in await stored(db, Product, "a")


async def test_save_loaded_object_writes_only_what_changed(db: Database) -> None:
    await Product(sku="a", blurb="old").save()
    mine, other = await Product.objects.get("a"), await Product.objects.get("a")
    other.blurb, other.category = "new", "coffee"
    await other.save()
    mine.stock = 5
    await mine.save()
    loaded = await Product.objects.get("a")
    assert (loaded.blurb, loaded.category, loaded.stock) == ("new", "coffee", 5)


async def test_save_after_save_writes_only_what_changed(db: Database) -> None:
    product = await Product(sku="a").save()
    other = await Product.objects.get("a")
    other.blurb = "theirs"
    await other.save()
    product.stock = 3
    await product.save()
    assert (await Product.objects.get("a")).blurb == "theirs"


async def test_save_notices_changes_in_place(db: Database) -> None:
    await Product(sku="a", tags={"x"}, links=["one"], extra={"a": {"b": 1}}).save()
    loaded = await Product.objects.get("a")
    loaded.tags.add("y")
    loaded.links.append("two")
    loaded.extra["a"]["b"] = 2
    await loaded.save()
    assert await Product.objects.get("a") == loaded


async def test_save_does_not_write_texts_that_mean_the_same(db: Database) -> None:
    await Product(sku="a", tags={"x", "y"}).save()
    await db.redis.hset("{shop%3Aproduct}:r:a", mapping={"tags": b' [ "y", "x" ] ', "extra": b"{ }"})
    loaded = await Product.objects.get("a")
    loaded.stock = 1
    await loaded.save()
    texts = await stored(db, Product, "a")
    assert texts[b"tags"] == b' [ "y", "x" ] '
    assert texts[b"extra"] == b"{ }"


async def test_save_of_a_deleted_record_never_brings_it_back(db: Database) -> None:
    await Product(sku="a").save()
    loaded, unchanged = await Product.objects.get("a"), await Product.objects.get("a")
    await Product.objects.delete("a")
    loaded.stock = 1
    for stale in (loaded, unchanged):
        with pytest.raises(NotFoundError):
            await stale.save()
    assert not await keys_of(db)


async def test_save_of_a_copy_of_a_deleted_record_never_brings_it_back(db: Database) -> None:
    loaded = await Product.objects.create(sku="a")
    copies = [loaded.model_copy(update={"stock": 4}), deepcopy(loaded)]
    await Product.objects.delete("a")
    for copied in copies:
        with pytest.raises(NotFoundError):
            await copied.save()


async def test_object_is_new_again_after_its_own_delete(db: Database) -> None:
    product = await Product.objects.create(sku="a", stock=4)
    assert await product.delete() is True
    assert await product.delete() is False
    await product.save()
    assert (await Product.objects.get("a")).stock == 4


async def test_save_with_another_key_is_refused(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    product.sku = "b"
    with pytest.raises(ConstraintError, match=r"Product\.sku"):
        await product.save()
    with pytest.raises(ConstraintError, match=r"Product\.sku"):
        await (await Product.objects.get("a")).update(sku="c")


async def test_save_checks_types_and_constraints_before_anything_is_written(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    for field, value in {"stock": "many", "price": Decimal(-1), "name": "", "links": [1]}.items():
        loaded = await Product.objects.get("a")
        object.__setattr__(loaded, "__dict__", loaded.__dict__ | {field: value})
        with pytest.raises(ValidationError, match=field):
            await loaded.save()
    assert await Product.objects.get("a") == product


async def test_nan_is_refused_before_anything_is_written(db: Database) -> None:
    nan = float("nan")
    with pytest.raises(ValidationError, match="NaN") as refused:
        await Product(sku="a", weight=nan).save()
    assert refused.value.error_count() == 1
    product = await Product.objects.create(sku="b", weight=1.0)
    product.weight, product.stock = nan, 5
    with pytest.raises(ValidationError, match="weight"):
        await product.save()
    assert (await Product.objects.get("b")).stock == 0
    assert await Product.objects.get_or_none("a") is None


async def test_unstorable_values_are_refused_by_field(db: Database) -> None:
    for field, value in {
        "blurb": "\ud800",
        "category": "\udfff",
        "views": 10**5000,
        "name": "a\ud800",
    }.items():
        product = Product(sku="a")
        product.__dict__[field] = value
        with pytest.raises(ValidationError, match=field):
            await product.save()
    assert await keys_of(db) == set()


async def test_none_empty_and_absent_are_three_things(db: Database) -> None:
    await Product(sku="none", note=None).save()
    await Product(sku="empty", note="").save()
    await Product(sku="absent").save()
    await db.redis.hdel("{shop%3Aproduct}:r:absent", "note", "rating")
    notes = [(await Product.objects.get(sku)).note for sku in ("none", "empty", "absent")]
    assert notes == [None, "", "none yet"]
    absent = await Product.objects.get("absent")
    assert absent.rating == 5.0
    absent.note = None
    await absent.save()
    assert (await Product.objects.get("absent")).note is None


async def test_none_over_a_value_and_back_moves_the_index(db: Database) -> None:
    product = await Product.objects.create(sku="a", weight=2.5, ean="1")
    for weight, ean in ((None, None), (4.0, "2"), (None, "2"), (1.0, None)):
        product.weight, product.ean = weight, ean
        await product.save()
        loaded = await Product.objects.get("a")
        assert (loaded.weight, loaded.ean) == (weight, ean)


async def test_partial_save_keeps_fields_the_class_does_not_know(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    await db.redis.hset("{shop%3Aproduct}:r:a", "later", "release")
    product.stock = 1
    await product.save()
    assert (await stored(db, Product, "a"))[b"later"] == b"release"


async def test_private_attributes_are_not_stored(db: Database) -> None:
    checked = Checked(id="a")
    checked._secret = "told"
    await checked.save()
    assert (await Checked.objects.get("a"))._secret == "unset"
    assert not any(b"secret" in name for name in await stored(db, Checked, "a"))


async def test_insert_fails_when_the_key_is_taken(db: Database) -> None:
    first = await Product.objects.create(sku="a", stock=1)
    with pytest.raises(AlreadyExistsError):
        await Product.objects.create(sku="a", stock=2)
    with pytest.raises(AlreadyExistsError):
        await first.insert()
    assert (await Product.objects.get("a")).stock == 1


async def test_insert_of_eight_racers_lets_one_win(db: Database) -> None:
    for n in range(10):
        outcomes = await asyncio.gather(
            *(Product(sku=str(n), stock=racer).insert() for racer in range(8)), return_exceptions=True
        )
        winners = [one for one in outcomes if isinstance(one, Product)]
        assert len(winners) == 1
        assert await Product.objects.get(str(n)) == winners[0]


async def test_update_validates_and_writes_just_those_fields(db: Database) -> None:
    checked = await Checked.objects.create(id="a", low=1)
    other = await Checked.objects.get("a")
    await other.update(high=20)
    checked.low = 2
    assert await checked.update(name="BOB") is checked
    loaded = await Checked.objects.get("a")
    assert (checked.name, loaded.name, loaded.low, loaded.high) == ("bob", "bob", 1, 20)
    await checked.save()
    assert (await Checked.objects.get("a")).low == 2


async def test_invalid_update_leaves_object_and_record(db: Database) -> None:
    checked = await Checked.objects.create(id="a")
    before = checked.model_copy()
    for changes in ({"low": 3, "name": "nobody"}, {"high": "x"}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            await checked.update(**changes)
        assert checked == before
        assert await Checked.objects.get("a") == before


async def test_update_of_a_frozen_model_is_pydantics_error(db: Database) -> None:
    frozen = await Frozen.objects.create(id="a")
    with pytest.raises(ValidationError, match="frozen"):
        await frozen.update(size=2)


async def test_update_of_a_missing_record_leaves_the_object(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    await Product.objects.delete("a")
    with pytest.raises(NotFoundError):
        await product.update(stock=4)
    assert product.stock == 0


async def test_update_to_the_same_value_writes(db: Database) -> None:
    product = await Product.objects.create(sku="a", blurb="mine")
    other = await Product.objects.get("a")
    await other.update(blurb="theirs")
    await product.update(blurb="mine")
    assert (await Product.objects.get("a")).blurb == "mine"


async def test_refresh_reloads_in_place(db: Database) -> None:
    product = await Product.objects.create(sku="a")
    await (await Product.objects.get("a")).update(stock=9, tags={"q"})
    product.blurb = "unsaved"
    assert await product.refresh() is product
    assert (product.stock, product.tags, product.blurb) == (9, {"q"}, "")
    product.stock = 8
    await product.save()
    assert (await Product.objects.get("a")).stock == 8
    await Product.objects.delete("a")
    with pytest.raises(NotFoundError):
        await product.refresh()


async def test_get_get_or_none_exists_and_get_many(db: Database) -> None:
    for number in (1, -5, 10**70):
        await Part(id=number, size=number % 1000).save()
    assert (await Part.objects.get(-5)).id == -5
    with pytest.raises(NotFoundError, match="Part"):
        await Part.objects.get(2)
    assert await Part.objects.get_or_none(2) is None
    assert [await Part.objects.exists(number) for number in (1, 2)] == [True, False]
    found = await Part.objects.get_many([10**70, 3, 1, 1, -5])
    assert [part and part.id for part in found] == [10**70, None, 1, 1, -5]
    with pytest.raises(QueryError):
        await Part.objects.get("1")


async def test_get_or_create_creates_once(db: Database) -> None:
    product, created = await Product.objects.get_or_create("a", {"stock": 3})
    assert created
    assert product.stock == 3
    again, created = await Product.objects.get_or_create("a", {"stock": 4})
    assert not created
    assert again == product
    found = await asyncio.gather(*(Product.objects.get_or_create("b", {"stock": n}) for n in range(20)))
    assert sum(created for _, created in found) == 1
    assert len({one.stock for one, _ in found}) == 1


async def test_delete_by_key_says_whether_there_was_one(db: Database) -> None:
    await Product.objects.create(sku="a", tags={"x"}, ean="4", weight=1.5)
    assert await Product.objects.delete("a") is True
    assert await Product.objects.delete("a") is False
    assert not await keys_of(db)


async def test_versioned_save_of_an_outdated_read_conflicts(db: Database) -> None:
    doc = await Doc.objects.create(id=1)
    mine, theirs = await Doc.objects.get(1), await Doc.objects.get(1)
    theirs.body = "theirs"
    await theirs.save()
    await theirs.update(title="again")
    mine.title = "mine"
    with pytest.raises(ConflictError):
        await mine.save()
    with pytest.raises(ConflictError):
        await mine.update(title="mine")
    await mine.refresh()
    mine.title = "mine"
    await mine.save()
    assert (await Doc.objects.get(1)).body == "theirs"
    with pytest.raises(ConflictError):
        await doc.save()
    assert "_v" not in doc.model_dump()
    assert "_v" not in str(Doc.model_json_schema())


async def test_versioned_inc_is_noticed_by_others_and_not_by_oneself(db: Database) -> None:
    doc = await Doc.objects.create(id=1)
    other = await Doc.objects.get(1)
    await doc.inc(hits=1)
    doc.body = "mine"
    await doc.save()
    other.body = "other"
    with pytest.raises(ConflictError):
        await other.save()
    stale = await Doc.objects.get(1)
    await (await Doc.objects.get(1)).update(body="new")
    await stale.inc(hits=1)
    stale.title = "based on the old body"
    with pytest.raises(ConflictError):
        await stale.save()


async def test_unique_refuses_the_value_of_another(db: Database) -> None:
    await Product.objects.create(sku="a", ean="1")
    with pytest.raises(UniqueError) as refused:
        await Product.objects.create(sku="b", ean="1")
    assert (refused.value.field, refused.value.value_owner_pk, refused.value.model) == ("ean", "a", "Product")
    assert not await Product.objects.exists("b")
    other = await Product.objects.create(sku="b", ean="2")
    with pytest.raises(UniqueError):
        await other.update(ean="1")
    other.ean, other.stock = "1", 4
    with pytest.raises(UniqueError):
        await other.save()
    assert (await Product.objects.get("b")).stock == 0


async def test_unique_value_is_free_after_change_delete_and_none(db: Database) -> None:
    first = await Product.objects.create(sku="a", ean="1")
    await first.update(ean="2")
    second = await Product.objects.create(sku="b", ean="1")
    await second.update(ean=None)
    third = await Product.objects.create(sku="c", ean="1")
    await third.delete()
    await Product.objects.create(sku="d", ean="1")
    await Product(sku="e", ean=None).save()
    await Product(sku="f", ean=None).save()


async def test_unique_value_of_a_record_deleted_by_others_is_free(db: Database) -> None:
    await Product.objects.create(sku="a", ean="1", tags={"x", "y"}, weight=2.0, released=None)
    await db.redis.delete("{shop%3Aproduct}:r:a")
    assert (await Product.objects.create(sku="b", ean="1")).ean == "1"
    assert (await Product.objects.check(repair=True)).dangling == 1  # the name; nothing tells what it was


async def test_unique_racers_one_wins(db: Database) -> None:
    for n in range(5):
        outcomes = await asyncio.gather(
            *(Product(ean=str(n)).insert() for _ in range(8)), return_exceptions=True
        )
        assert sum(isinstance(one, Product) for one in outcomes) == 1
        assert sum(isinstance(one, UniqueError) for one in outcomes) == 7


@pytest.mark.parametrize(
    "pk", ["a:b", "{x}", "*", "a?[b]\\", "\0", "\n\r", "é😀", " ", "", "%", "x" * 10_000, "_ix"]
)
async def test_any_text_is_a_key_and_a_tag(db: Database, pk: str) -> None:
    product = await Product.objects.create(sku=pk, category=pk, tags={pk, "b"}, name=pk or "x", ean=pk)
    await Product.objects.create(sku="other")
    assert await Product.objects.get(pk) == product
    await product.update(category=pk + "!", tags={pk + "?"}, ean=pk + ";")
    await product.update(category=pk, tags=set())
    assert await product.delete()


async def test_namespaces_and_prefixes_are_apart(url: str) -> None:
    for namespace in ("", "a", "a:b", "{n}*", "é\0"):
        async with opened(url, namespace=namespace) as db:
            assert await Product.objects.get_or_none("a") is None
            await Product.objects.create(sku="a", blurb=namespace)
            assert (await Product.objects.get("a")).blurb == namespace
            await Product.objects.delete("a")
            for key in await db.redis.keys("*"):
                await db.redis.delete(key)
