"""The `redisom` command: what it prints, and its exit status."""

from __future__ import annotations

import asyncio
import json

import pytest

from redisom_lite import Database
from redisom_lite.cli import main
from redisom_lite.cli.sample import Item, items

MODEL = "redisom_lite.cli.sample:Item"


@pytest.fixture
def url(real_url: str) -> str:
    async def fill() -> None:
        async with Database(real_url) as db:
            with db.override(real_url):
                db.bind(Item)
                await Item.objects.save_many(items(40))
                await db.aclose()

    asyncio.run(fill())
    return real_url


def test_models_lists_records_and_indexes(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "redisom_lite.cli.sample", "--url", url, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["model"], listed["records"], listed["key"]) == ("Item", 40, "sku")


def test_check_of_a_sound_model_exits_with_0_and_of_a_damaged_one_with_1(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", MODEL, "--url", url]) == 0

    async def damage() -> None:
        async with Database(url) as db:
            await db.redis.delete("{item}:r:item-7")

    asyncio.run(damage())
    assert main(["check", MODEL, "--url", url]) == 1
    assert main(["check", MODEL, "--url", url, "--repair"]) == 1
    assert main(["check", MODEL, "--url", url]) == 0
    capsys.readouterr()


def test_explain_shows_the_plan(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", MODEL, "Item.category == 'tea'", "Item.price < 50", "--order", "Item.price.asc()"]
    assert main([*words, "--limit", "5", "--url", url]) == 0
    assert "composite category+price" in capsys.readouterr().out


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "no.such.module:Model"]) == 2
    assert "no module" in capsys.readouterr().err


def test_keys_counts_parts_by_name_and_shows_no_keys(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def add_parts() -> None:
        async with Database(url) as db:
            await db.redis.rpush("{item}:p:item-7:notes", "x")
            await db.redis.hset("{item}:op:abc", "0", "1 i1:1")

    asyncio.run(add_parts())
    assert main(["keys", MODEL, "--url", url, "--json"]) == 0
    listed = {row["kind"]: row["keys"] for row in json.loads(capsys.readouterr().out)}
    assert (listed["records"], listed["part notes"]) == (40, 1)
    assert listed["operations"] >= 1
    assert not [kind for kind in listed if "item-" in kind or "abc" in kind]
