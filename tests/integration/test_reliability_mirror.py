"""A mirror: writes reach both servers, reads survive the primary, and what differs is found and repaired."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from redisom_lite import Composite, Database, Field, Key, Meta, Model, Range, Tag, Unique
from redisom_lite.engine import embedded
from redisom_lite.errors import ConflictError, ConstraintError, NotBoundError, NotFoundError, UnavailableError
from redisom_lite.reliability import Mirror, health
from tests import processes
from tests.servers import fresh_url

CLOSE = 0.1


class Product(Model):
    meta = Meta(prefix="mirror-product", indexes=[Composite("category", "price")])
    sku: Key[str]
    category: Tag[str] = Field(default="tea")
    tags: Tag[set[str]] = Field(default_factory=set)
    price: Range[Decimal | None] = Field(default=None)
    ean: Unique[str | None] = Field(default=None)
    blurb: str = ""


class Page(Model):
    meta = Meta(prefix="mirror-page", versioned=True)
    name: Key[int]
    text: str = ""


class Twin:
    """Two servers, the mirror over them, and the same models seen on the backup alone."""

    def __init__(self, primary: Database, backup: Database) -> None:
        self.primary = primary
        self.backup = backup
        self.mirror = Mirror(primary, backup, grace="50ms")
        self.queued = Mirror(primary, backup, mode="queued", grace="50ms")

    async def on_backup(self, pk: str) -> Product | None:
        Product.__redisom_database__ = self.backup  # where the model lives, for a moment
        try:
            return await Product.objects.get_or_none(pk)
        finally:
            self.mirror.bind(Product)

    async def both_end_together(self, product: Product) -> None:
        """The lifetimes of a record on both servers differ by no more than what may be, and what looking takes."""
        began = time.monotonic()
        here = await product.ttl()
        there = await self.backup.redis.pttl(f"{{mirror-product}}:r:{product.sku}")
        assert here is not None
        assert abs(here.total_seconds() - there / 1000) < CLOSE + time.monotonic() - began

    async def backup_is_sound(self) -> bool:
        Product.__redisom_database__ = self.backup
        try:
            return (await Product.objects.check()).ok
        finally:
            self.mirror.bind(Product)


@pytest.fixture
async def twin(lane: str, url: str) -> AsyncIterator[Twin]:
    """Both of one lane; a second server there is a namespace of its own in memory, another process elsewhere."""
    async with AsyncExitStack() as stack:
        if lane == "memory":
            second = fresh_url("memory")
        else:
            second = stack.enter_context(embedded.start()).url
        primary = await stack.enter_async_context(Database(url))
        backup = await stack.enter_async_context(Database(second))
        found = Twin(primary, backup)
        found.mirror.bind(Product, Page)
        yield found


async def test_saved_record_is_on_both_with_indexes_and_lifetime(twin: Twin) -> None:
    tea = Product(sku="tea", tags={"a", "b"}, price=Decimal("3.10"), ean="1", blurb="x")
    await twin.mirror.save(tea, ttl="1m")
    copy = await twin.on_backup("tea")
    assert copy == tea
    assert await twin.backup_is_sound()
    await twin.both_end_together(tea)
    assert (await twin.mirror.lag()).pending == 0


async def test_copy_held_up_on_its_way_ends_with_its_record(twin: Twin) -> None:
    held_up = 0

    class Slow:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        async def call(self, script: Any, keys: Any, args: Any) -> Any:
            nonlocal held_up
            if script.name == "apply" and not held_up:
                held_up += 1
                await asyncio.sleep(0.5)
            return await self._inner.call(script, keys, args)

    twin.backup.backend.between = Slow
    tea = await twin.mirror.save(Product(sku="tea"), ttl="1m")
    assert held_up
    await twin.both_end_together(tea)


async def test_changes_and_deletions_reach_the_backup(twin: Twin) -> None:
    tea = await twin.mirror.save(Product(sku="tea", price=Decimal(3)))
    tea.category, tea.price = "coffee", None
    await twin.mirror.save(tea)
    assert await twin.on_backup("tea") == tea
    assert await twin.mirror.delete(Product, "tea")
    assert await twin.on_backup("tea") is None
    assert await twin.backup_is_sound()
    assert not await twin.mirror.delete(Product, "tea")


async def test_any_write_in_a_writing_block_is_mirrored(twin: Twin) -> None:
    tea = await twin.mirror.save(Product(sku="tea", price=Decimal(3)))
    async with twin.mirror.writing(Product, "tea"):
        await tea.inc(price=Decimal("0.5"))
        await tea.expire("1m")
    copy = await twin.on_backup("tea")
    assert copy is not None
    assert copy.price == Decimal("3.5")
    assert (await twin.mirror.verify(Product)).ok


async def test_unique_values_that_change_hands_are_copied_together(twin: Twin) -> None:
    a = await twin.mirror.save(Product(sku="a", ean="1"))
    b = await twin.mirror.save(Product(sku="b", ean="2"))
    async with twin.mirror.writing(Product, "b", "a"), twin.primary.transaction() as tx:
        a, b = await tx.get(Product, "a"), await tx.get(Product, "b")
        a.ean, b.ean = b.ean, a.ean
        tx.save(a, b)
    assert (await twin.mirror.verify(Product)).differences == 0
    assert await twin.backup_is_sound()


async def test_fields_the_class_does_not_know_are_copied(twin: Twin) -> None:
    await twin.mirror.save(Product(sku="tea"))
    await twin.primary.redis.hset("{mirror-product}:r:tea", "future", "1")
    assert (await twin.mirror.verify(Product, repair=True)).repaired == 1
    assert await twin.backup.redis.hget("{mirror-product}:r:tea", "future") == b"1"


async def test_concurrent_saves_of_one_record_leave_both_equal(twin: Twin) -> None:
    await twin.mirror.save(Product(sku="tea"))

    async def change(n: int) -> None:
        async with twin.mirror.writing(Product, "tea"):
            await Product.objects.find(Product.sku == "tea").update(blurb=str(n), price=Decimal(n))

    await asyncio.gather(*(change(n) for n in range(20)))
    assert (await twin.mirror.verify(Product)).differences == 0
    assert (await twin.mirror.lag()).pending == 0


async def test_model_of_another_database_is_refused(twin: Twin) -> None:
    twin.backup.bind(Page)
    with pytest.raises(NotBoundError, match=r"mirror.bind\(Page\)"):
        await twin.mirror.save(Page(name=1))


# Queued.


async def test_queued_write_is_pending_until_replayed(twin: Twin) -> None:
    tea = await twin.queued.save(Product(sku="tea", ean="1"), ttl="1m")
    assert await twin.on_backup("tea") is None
    lag = await twin.queued.lag()
    assert lag.pending == 1
    assert lag.oldest is not None
    assert lag.oldest < timedelta(seconds=5)
    assert await twin.queued.replay() == 1
    assert await twin.on_backup("tea") == tea
    assert (await twin.queued.lag()).pending == 0
    assert (await twin.queued.verify(Product)).differences == 0


async def test_open_mirror_replays_by_itself(twin: Twin) -> None:
    async with Mirror(twin.primary, twin.backup, mode="queued", interval="10ms") as mirror:
        await mirror.save(Product(sku="tea"))
        async with asyncio.timeout(30):
            while await twin.on_backup("tea") is None:  # noqa: ASYNC110 - another server's event
                await asyncio.sleep(0.01)


async def test_note_of_a_writer_that_died_is_replayed_after_the_grace(twin: Twin) -> None:
    queued = Mirror(twin.primary, twin.backup, mode="queued", grace="1s")
    with pytest.raises(KeyError):
        async with queued.writing(Product, "tea"):
            await Product(sku="tea").save()
            raise KeyError("died")
    assert await queued.replay() == 0
    await asyncio.sleep(1.05)
    assert await queued.replay() == 1
    assert await twin.on_backup("tea") is not None


# Reading.


async def test_lost_record_is_healed_with_its_indexes_and_lifetime(twin: Twin) -> None:
    tea = await twin.mirror.save(Product(sku="tea", tags={"a"}, ean="1"), ttl="1m")
    await twin.primary.redis.flushall()
    assert await twin.mirror.get(Product, "tea") == tea
    assert twin.mirror.counts.healed == 1
    await twin.both_end_together(tea)
    assert await Product.objects.find(Product.tags.has("a")).pks() == ["tea"]
    assert (await Product.objects.check()).ok


async def test_record_neither_has_is_not_found(twin: Twin) -> None:
    assert await twin.mirror.get_or_none(Product, "none") is None
    with pytest.raises(NotFoundError):
        await twin.mirror.get(Product, "none")


async def test_deletion_under_way_is_not_undone_by_a_read(twin: Twin) -> None:
    await twin.mirror.save(Product(sku="tea"))
    await twin.queued.delete(Product, "tea")
    assert await twin.on_backup("tea") is not None
    assert await twin.queued.get_or_none(Product, "tea") is None
    assert not await Product.objects.exists("tea")


async def test_restore_brings_everything_back(twin: Twin) -> None:
    await twin.mirror.save_many([Product(sku=str(n), ean=str(n)) for n in range(300)])
    await twin.primary.redis.flushall()
    with pytest.raises(ConstraintError, match=r"restore\(\)"):
        await twin.mirror.verify(Product, repair=True)
    assert await twin.mirror.restore(Product) == 300
    assert (await twin.mirror.verify(Product)).differences == 0
    assert (await Product.objects.check()).ok


# Verifying.


async def test_verify_finds_each_kind_of_difference_and_repairs_it(twin: Twin) -> None:
    await twin.mirror.save_many([Product(sku=f"{n:04}") for n in range(1200)])
    await Product(sku="new").save()
    await Product.objects.delete("0100")
    await (await Product.objects.get("0700")).update(blurb="changed")
    await (await Product.objects.get("1100")).expire("1m")
    found = await twin.mirror.verify(Product)
    assert (found.missing, found.extra, found.different, found.lifetimes) == (1, 1, 1, 1)
    assert (found.compared, found.ranges, found.ok) == (1200, 3, False)
    assert sorted(found.examples) == ["0100", "0700", "1100", "new"]
    assert (await twin.mirror.verify(Product, repair=True)).repaired == 4
    assert (await twin.mirror.verify(Product)).differences == 0
    assert await twin.backup_is_sound()


async def test_verify_finds_another_end_of_a_lifetime(twin: Twin) -> None:
    await twin.mirror.save(Product(sku="tea"), ttl="1m")
    await (await Product.objects.get("tea")).extend("2s")
    assert (await twin.mirror.verify(Product, repair=True)).lifetimes == 1
    assert (await twin.mirror.verify(Product)).ok


async def test_integer_keys_and_versions_are_mirrored(twin: Twin) -> None:
    for n in (-5, 7, 70):
        page = await twin.mirror.save(Page(name=n))
        page.text = "two"
        await twin.mirror.save(page)
    found = await twin.mirror.verify(Page)
    assert (found.compared, found.differences) == (3, 0)


# With the backup, then the primary, away.


DURABLE = ("--appendonly", "yes")


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is unhealthy for a machine that was held up."""
    monkeypatch.setattr(sys.modules[health.__module__], "_SLOW", 60)


async def catch_up(count: int, tmp_path: Path, real_url: str) -> None:
    port, half = processes.free_port(), count // 2
    async with Database(real_url) as primary, Database(f"redis://127.0.0.1:{port}", timeout=2) as backup:
        mirror = Mirror(primary, backup, mode="queued", interval="20ms")
        mirror.bind(Product)
        objects = [
            Product(sku=f"{n:06}", category=f"c{n % 9}", price=Decimal(n), ean=str(n)) for n in range(count)
        ]
        async with mirror:
            with processes.run(tmp_path / "backup", *DURABLE, port=port):
                await mirror.save_many(objects[:half], ttl="1h")
                await caught_up(mirror)
            await mirror.save_many(objects[half:])
            await asyncio.sleep(0.1)
            assert (await mirror.lag()).pending > 0
            assert not (await mirror.health()).ok
            with processes.run(tmp_path / "backup", *DURABLE, port=port):
                await caught_up(mirror)
                found = await mirror.verify(Product)
                assert (found.compared, found.differences) == (count, 0)
                assert (await mirror.health()).ok


async def caught_up(mirror: Mirror) -> None:
    async with asyncio.timeout(120):
        while (await mirror.lag()).pending:  # noqa: ASYNC110 - another server's event
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("patient")
async def test_backup_that_was_away_catches_up(tmp_path: Path, real_url: str) -> None:
    await catch_up(2000, tmp_path, real_url)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
async def test_backup_that_was_away_catches_up_over_50000_records(tmp_path: Path, real_url: str) -> None:
    await catch_up(50_000, tmp_path, real_url)


async def test_sync_write_without_the_backup_raises_and_is_not_lost(tmp_path: Path, real_url: str) -> None:
    port = processes.free_port()
    async with Database(real_url) as primary, Database(f"redis://127.0.0.1:{port}", timeout=2) as backup:
        mirror = Mirror(primary, backup)
        mirror.bind(Product)
        with pytest.raises(UnavailableError, match="the primary has the write") as caught:
            await mirror.save(Product(sku="tea"))
        assert caught.value.outcome == "unknown"
        assert await Product.objects.exists("tea")
        assert (await mirror.lag()).pending == 1
        assert mirror.counts.failed == 1
        with processes.run(tmp_path / "backup", port=port):
            assert await mirror.replay() == 1
            assert (await mirror.verify(Product)).differences == 0


async def test_backup_answers_while_the_primary_is_away(tmp_path: Path, real_url: str) -> None:
    port = processes.free_port()
    async with Database(f"redis://127.0.0.1:{port}", timeout=2) as primary, Database(real_url) as backup:
        mirror = Mirror(primary, backup)
        mirror.bind(Product, Page)
        with processes.run(tmp_path / "primary", *DURABLE, port=port):
            tea = await mirror.save(Product(sku="tea", ean="1"), ttl="1m")
            await mirror.save(Page(name=1, text="one"))
        assert await mirror.get(Product, "tea") == tea
        page = await mirror.get(Page, 1)
        assert mirror.counts.fallbacks == 2
        with processes.run(tmp_path / "primary", *DURABLE, port=port):
            page.text = "two"
            with pytest.raises(ConflictError):
                await mirror.save(page)
            await page.refresh()
            page.text = "two"
            await mirror.save(page)
