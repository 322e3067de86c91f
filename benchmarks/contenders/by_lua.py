"""Hand-written Lua, as an expert writes it: one script for each operation, the layout of `by_hand.py`, pydantic.

It knows the model, takes its callers' word for what is stored, and repeats nothing: it does less than the library.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.contenders.by_hand import CARRIERS, PREFIX, composite, object_of_hash, ranged, record
from benchmarks.flight import PlainFlight

_FOLDER = Path(__file__).parent / "lua"
NAMES = (
    *(
        "id",
        "carrier",
        "origin",
        "dest",
        "dep_delay",
        "arr_delay",
        "time_hour",
        "tailnum",
        "year",
        "month",
        "day",
    ),
    *(
        "dep_time",
        "sched_dep_time",
        "arr_time",
        "sched_arr_time",
        "flight",
        "air_time",
        "distance",
        "hour",
        "minute",
    ),
)


def _text(name: str) -> str:
    text = (_FOLDER / f"{name}.lua").read_text()
    if text.startswith("--@"):
        first, _, rest = text.partition("\n")
        return (_FOLDER / f"{first[3:]}.lua").read_text() + rest
    return text


_PARTS = ("rows", "unstore")
SCRIPTS = {path.stem: _text(path.stem) for path in _FOLDER.glob("*.lua") if path.stem not in _PARTS}
SHAS = {name: hashlib.sha1(text.encode()).hexdigest() for name, text in SCRIPTS.items()}


def _words(row: dict[str, Any], seconds: int = 0) -> list[Any]:
    flight = PlainFlight.model_validate(row)
    fields = flight.model_dump(mode="json", exclude_none=True)
    hashed = [word for field in fields.items() for word in field]
    return [
        *(flight.id, flight.carrier, flight.origin, flight.dest),
        *(fields.get("dep_delay", ""), fields.get("arr_delay", ""), flight.time_hour.timestamp()),
        *(flight.tailnum or "", seconds, len(hashed), *hashed),
    ]


def object_of(row: Sequence[bytes | None]) -> PlainFlight:
    """The flight in a row of fields."""
    return PlainFlight.model_validate(
        {name: text for name, text in zip(NAMES, row, strict=True) if text is not None}
    )


def _ids(rows: Sequence[Sequence[bytes | None]]) -> list[int]:
    return [object_of(row).id for row in rows]


class ByLua:
    """Scripts through redis-py."""

    async def open(self, url: str) -> None:
        self._redis = Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=16))
        for text in SCRIPTS.values():
            await self._redis.script_load(text)

    async def _call(self, script: str, *args: Any) -> Any:
        return await self._redis.evalsha(SHAS[script], 1, PREFIX, *args)

    async def _command(self, *words: Any) -> Any:
        return await self._redis.execute_command(*words)

    async def close(self) -> None:
        await self._redis.aclose()

    # Writes.

    async def load(self, rows: Sequence[dict[str, Any]]) -> None:
        for first in range(0, len(rows), 200):
            await self._call("store", *(word for row in rows[first : first + 200] for word in _words(row)))

    async def create(self, row: dict[str, Any]) -> None:
        await self._call("store", *_words(row))

    async def create_with_ttl(self, row: dict[str, Any], seconds: int) -> None:
        await self._call("store", *_words(row, seconds))

    async def change(self, pk: int, dep_delay: int) -> None:
        while True:
            old = (await self._object(pk)).dep_delay
            if await self._call("set_delay", pk, old, dep_delay):
                return

    async def increment(self, pk: int) -> None:
        await self._call("increment", pk, 1)

    async def transfer(self, one: int, other: int) -> None:
        while True:
            old = [object_of(row).dep_delay or 0 for row in await self._call("get_many", one, other)]
            if await self._call("set_delay", one, old[0], old[0] - 1, other, old[1], old[1] + 1):
                return

    async def delete(self, pk: int) -> None:
        await self._call("delete", pk)

    async def delete_tagged(self, tail: str) -> int:
        return int(await self._call("delete_tagged", f"[{tail}\0", f"[{tail}\0\xff"))

    # Reads.

    async def _object(self, pk: int) -> PlainFlight:
        return object_of_hash(await self._redis.hgetall(record(pk)))

    async def read(self, pk: int) -> dict[str, Any] | None:
        exists = await self._command("EXISTS", record(pk))
        return (await self._object(pk)).model_dump(mode="json") if exists else None

    async def lifetime(self, pk: int) -> float:
        return float(await self._command("TTL", record(pk)))

    async def get(self, pk: int) -> int:
        return (await self._object(pk)).id

    async def get_many(self, pks: Sequence[int]) -> list[int]:
        return _ids(await self._call("get_many", *pks))

    async def get_each(self, pks: Sequence[int]) -> list[int]:
        return list(await asyncio.gather(*(self.get(pk) for pk in pks)))

    async def in_range(self, low: int, high: int) -> list[int]:
        return _ids(await self._call("in_range", ":i:dep_delay", low, high, -1))

    async def _page(self, *args: Any) -> list[int]:
        return _ids((await self._call("page", *args))[1])

    async def page(self, carrier: str, above: int) -> list[int]:
        return await self._page("ZRANGEBYSCORE", f"({above}", "+inf", 0, 20, 1, f":t:carrier:{carrier}")

    async def rare_page(self, carrier: str, above: int) -> list[int]:
        return _ids(await self._call("rare_page", f":t:carrier:{carrier}", above, 20))

    async def composite_page(self, dest: str, above: int) -> list[int]:
        index = composite(dest).removeprefix(PREFIX)
        return _ids(await self._call("in_range", index, f"({above}", "+inf", 20))

    async def either_page(self, one: str, other: str) -> list[int]:
        sets = f":t:carrier:{one}", f":t:carrier:{other}"
        return await self._page("ZREVRANGEBYSCORE", "+inf", "-inf", 0, 20, 1, *sets)

    async def without_page(self, carrier: str, above: int) -> list[int]:
        return await self._page("ZRANGEBYSCORE", f"({above}", "+inf", 0, 20, 0, f":t:carrier:{carrier}")

    async def count_range(self, above: int) -> int:
        return int(await self._command("ZCOUNT", ranged("dep_delay"), f"({above}", "+inf"))

    async def count_composite(self, dest: str, above: int) -> int:
        return int(await self._command("ZCOUNT", composite(dest), f"({above}", "+inf"))

    async def count_tagged(self, carrier: str, above: int) -> int:
        return int(await self._call("count_tagged", f":t:carrier:{carrier}", f"({above}"))

    async def prefixed(self, prefix: str) -> list[int]:
        return _ids(await self._call("prefixed", f"[{prefix}", f"[{prefix}\xff"))

    async def walk(self, carrier: str, pages: int) -> list[int]:
        found: list[int] = []
        start = 0
        for _ in range(pages):
            start, rows = await self._call("page", "ZRANGE", "", "", start, 20, 1, f":t:carrier:{carrier}")
            if not rows:
                break
            found += _ids(rows)
        return found

    async def facets(self) -> dict[str, int]:
        counts = await self._call("facets", *CARRIERS)
        return {name: count for name, count in zip(CARRIERS, counts, strict=True) if count}
