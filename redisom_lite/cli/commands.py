"""What each subcommand does. Every one takes the parsed options and the output, and gives the exit status."""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import asdict
from types import ModuleType
from typing import Any, TypeAlias, TypeGuard, cast

from redisom_lite.cli.output import Output
from redisom_lite.cli.sample import Item, items
from redisom_lite.database import Database
from redisom_lite.engine import inspection
from redisom_lite.engine.store import Store, store_of
from redisom_lite.errors import RedisomError
from redisom_lite.model import Model

Command: TypeAlias = Callable[[argparse.Namespace, Output], Awaitable[int]]

_LIFETIMES = ((60_000, "under a minute"), (3_600_000, "under an hour"), (86_400_000, "under a day"))


class UsageError(Exception):
    """What was typed cannot be done."""


def _module(name: str) -> Any:
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` does
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"there is no module {name!r} to import ({error})") from error


def _model(name: str) -> type[Model]:
    module, _, model = name.partition(":")
    found = getattr(_module(module), model, None)
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise UsageError(f"{name!r} is no model: give module:Model, as in shop.models:Product")
    return found


def _store(stack: ExitStack, options: argparse.Namespace, model: type[Model]) -> Store:
    """The database of a model, or `--url` in its place."""
    try:
        store = store_of(model)
    except RedisomError:
        store = Database.from_env()
        store.bind(model)
    if options.url:
        stack.enter_context(store.override(options.url))
    return store


async def models(options: argparse.Namespace, output: Output) -> int:
    rows: list[dict[str, Any]] = []
    members = vars(cast("ModuleType", _module(options.module)))
    found = [value for value in members.values() if _concrete(value)]
    for model in found:
        with ExitStack() as stack:
            store = _store(stack, options, model)
            keyspace = store.keyspace(model.__redisom_schema__)
            rows.append(
                {
                    "model": model.__name__,
                    "records": await model.objects.find().count(),
                    "keys": keyspace.bases[0].decode() + ":*",
                    "key": keyspace.schema.key.name,
                    "indexes": [f"{name} ({definition})" for name, definition in keyspace.indexes.items()],
                }
            )
            await store.aclose()
    if not rows:
        raise UsageError(f"{options.module!r} has no models")
    output.table(rows)
    return 0


def _concrete(value: object) -> TypeGuard[type[Model]]:
    if not (isinstance(value, type) and issubclass(value, Model)):
        return False
    try:
        return bool(value.__redisom_schema__)
    except RedisomError:
        return False


async def check(options: argparse.Namespace, output: Output) -> int:
    model = _model(options.model)
    with ExitStack() as stack:
        store = _store(stack, options, model)
        report = await model.objects.check(repair=options.repair, progress=output.progress("checked"))
        await store.aclose()
    output.record(
        asdict(report) | {"ok": report.ok, "examples": [str(asdict(one)) for one in report.examples]}
    )
    return 0 if report.ok else 1


async def reindex(options: argparse.Namespace, output: Output) -> int:
    model = _model(options.model)
    with ExitStack() as stack:
        store = _store(stack, options, model)
        done = await model.objects.reindex(progress=output.progress("indexed"))
        await store.aclose()
    output.record({"indexed": done})
    return 0


async def explain(options: argparse.Namespace, output: Output) -> int:
    model = _model(options.model)
    names = vars(sys.modules[model.__module__])

    def evaluate(text: str) -> Any:
        return eval(text, dict(names))

    with ExitStack() as stack:
        store = _store(stack, options, model)
        query = model.objects.find(*map(evaluate, options.conditions)).order_by(*map(evaluate, options.order))
        if options.limit is not None:
            query = query.limit(options.limit)
        plan = await query.explain(analyze=options.analyze)
        await store.aclose()
    output.text(str(plan), plan.to_dict())
    return 0


async def memory(options: argparse.Namespace, output: Output) -> int:
    async with _database(options) as db:
        info = await db.redis.info("memory")
    names = ("used_memory", "used_memory_peak", "mem_fragmentation_ratio", "maxmemory", "maxmemory_policy")
    output.record({name: info.get(name) for name in names})
    return 1 if str(info.get("maxmemory_policy", "")).startswith("allkeys") else 0


async def ttl(options: argparse.Namespace, output: Output) -> int:
    model = _model(options.model)
    with ExitStack() as stack:
        store = _store(stack, options, model)
        keyspace = store.keyspace(model.__redisom_schema__)
        total = await model.objects.find().count()
        rows: list[dict[str, Any]] = []
        below = 0
        for ms, label in _LIFETIMES:
            within = await model.objects.expiring(within=ms / 1000).count()
            rows.append({"ends in": label, "records": within - below})
            below = within
        ending = 0
        for base in keyspace.bases:
            ending += await store.redis.zcard(base + b":due")
        rows.append({"ends in": "later", "records": max(0, ending - below)})
        rows.append({"ends in": "never", "records": max(0, total - ending)})
        await store.aclose()
    output.table(rows)
    return 0


async def keys(options: argparse.Namespace, output: Output) -> int:
    model = _model(options.model)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        store = _store(stack, options, model)
        keyspace = store.keyspace(model.__redisom_schema__)
        for partition in range(len(keyspace.bases)):
            async for suffixes in inspection.scan(store.transport, keyspace, partition):
                counts.update(_kind(suffix) for suffix in suffixes)
        await store.aclose()
    output.table([{"kind": kind, "keys": count} for kind, count in sorted(counts.items())])
    return 0


def _kind(suffix: bytes) -> str:
    """What a key holds, without the values in its name."""
    parts = suffix.decode("ascii", "replace").split(":")[1:]
    match parts:
        case ["r", *_]:
            return "records"
        case ["t", name, *_]:
            return f"tag {name}"
        case ["c", tag, number, *_]:
            return f"composite {tag}+{number}"
        case ["p", _, name, *_]:
            return f"part {name}"
        case ["op", *_]:
            return "operations"
        case [kind, name]:
            return {"i": "range", "x": "exact values", "v": "tag listing", "u": "unique"}.get(
                kind, kind
            ) + f" {name}"
        case [kind, *_]:
            return {"k": "registry", "due": "deadlines", "memo": "memos"}.get(kind, kind)
        case _:
            return "other"


def _database(options: argparse.Namespace) -> Database:
    return Database(options.url) if options.url else Database.from_env()


async def demo(options: argparse.Namespace, output: Output) -> int:
    async with Database(options.url or "memory://demo", namespace="redisom-demo") as db:
        db.bind(Item)
        saved = await Item.objects.save_many(items(options.rows), progress=output.progress("saved"))
        output.text(f"{saved:,} records saved", {"saved": saved})
        cheap = Item.objects.find(Item.category == "tea", Item.price < 10).order_by(Item.price).limit(5)
        output.table(
            [{"sku": item.sku, "category": item.category, "price": str(item.price)} for item in await cheap]
        )
        plan = await cheap.explain()
        output.text(str(plan), plan.to_dict())
        await Item.objects.find().delete()
    return 0


async def bench(options: argparse.Namespace, output: Output) -> int:
    async with Database(options.url or "memory://bench", namespace="redisom-bench") as db:
        db.bind(Item)
        await Item.objects.save_many(items(2000))
        page = Item.objects.find(Item.category == "tea", Item.price < 50).order_by(Item.price).limit(20)
        fresh = iter(items(10**9, start=10_000))
        runs: dict[str, Callable[[], Awaitable[object]]] = {
            "get": lambda: Item.objects.get("item-7"),
            "save": lambda: next(fresh).save(),
            "page of 20": page.all,
            "count": page.limit(10**9).count,
        }
        rows = [await _timed(name, run, options.rounds) for name, run in runs.items()]
        await Item.objects.find().delete()
    output.table(rows)
    return 0


async def _timed(name: str, run: Callable[[], Awaitable[object]], rounds: int) -> dict[str, Any]:
    times: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await run()
        times.append((time.perf_counter() - begun) * 1e6)
    times.sort()
    return {
        "operation": name,
        "median us": round(statistics.median(times)),
        "p99 us": round(times[int(rounds * 0.99) - 1]),
    }
