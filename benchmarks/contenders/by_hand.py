"""Hand-written redis-py, as a careful engineer writes it: pipelines and MULTI, pydantic on both ends.

The layout of the library: one hash for each record, one sorted set for each range, one set for each tag value, one
sorted set for each destination by arrival delay. No promise under concurrency beyond MULTI's, nothing cleaned up
after expiry, nothing repeated: it does less than the library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from benchmarks.flight import PlainFlight

PREFIX = "{flight}"
KEYS = f"{PREFIX}:k"
TAGS = ("carrier", "origin", "dest")
RANGES = ("dep_delay", "arr_delay")
CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")


def record(pk: int | str) -> str:
    """The key of a flight."""
    return f"{PREFIX}:r:{pk}"


def tag(name: str, value: str) -> str:
    """The key of the set of flights with that value."""
    return f"{PREFIX}:t:{name}:{value}"


def ranged(name: str) -> str:
    """The key of the flights in order of a field."""
    return f"{PREFIX}:i:{name}"


def composite(dest: str) -> str:
    """The key of the flights to a destination in order of arrival delay."""
    return f"{PREFIX}:c:dest:arr_delay:{dest}"


def _store(pipe: Pipeline, flight: PlainFlight) -> None:
    fields = flight.model_dump(mode="json", exclude_none=True)
    pk = flight.id
    pipe.hset(record(pk), mapping=fields)
    pipe.zadd(KEYS, {str(pk): 0})
    for name in TAGS:
        pipe.sadd(tag(name, fields[name]), pk)
    for name in RANGES:
        if name in fields:
            pipe.zadd(ranged(name), {str(pk): fields[name]})
    pipe.zadd(ranged("time_hour"), {str(pk): flight.time_hour.timestamp()})
    if flight.tailnum is not None:
        pipe.zadd(ranged("tailnum"), {f"{flight.tailnum}\0{pk}": 0})
    if flight.arr_delay is not None:
        pipe.zadd(composite(flight.dest), {str(pk): flight.arr_delay})


def _unstore(pipe: Pipeline, flight: PlainFlight) -> None:
    pk = flight.id
    pipe.delete(record(pk))
    pipe.zrem(KEYS, pk)
    for name in TAGS:
        pipe.srem(tag(name, getattr(flight, name)), pk)
    for name in (*RANGES, "time_hour"):
        pipe.zrem(ranged(name), pk)
    pipe.zrem(ranged("tailnum"), f"{flight.tailnum}\0{pk}")
    pipe.zrem(composite(flight.dest), pk)


def _set_delay(pipe: Pipeline, pk: int, dep_delay: int) -> None:
    pipe.hset(record(pk), "dep_delay", str(dep_delay))
    pipe.zadd(ranged("dep_delay"), {str(pk): dep_delay})


def object_of_hash(stored: dict[bytes, bytes]) -> PlainFlight:
    """The flight in a hash."""
    return PlainFlight.model_validate({name.decode(): text for name, text in stored.items()})


class ByHand:
    """redis-py."""

    async def open(self, url: str) -> None:
        self._redis = Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=16))

    # Writes.

    async def load(self, rows: Sequence[dict[str, Any]]) -> None:
        flights = [PlainFlight.model_validate(row) for row in rows]
        for first in range(0, len(flights), 1000):
            async with self._redis.pipeline(transaction=True) as pipe:
                for flight in flights[first : first + 1000]:
                    _store(pipe, flight)
                await pipe.execute()

    async def create(self, row: dict[str, Any]) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            _store(pipe, PlainFlight.model_validate(row))
            await pipe.execute()

    async def create_with_ttl(self, row: dict[str, Any], seconds: int) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            _store(pipe, PlainFlight.model_validate(row))
            pipe.expire(record(row["id"]), seconds)
            await pipe.execute()

    async def change(self, pk: int, dep_delay: int) -> None:
        flight = object_of_hash(await self._redis.hgetall(record(pk)))
        flight.dep_delay = dep_delay
        async with self._redis.pipeline(transaction=True) as pipe:
            _set_delay(pipe, pk, flight.dep_delay)
            await pipe.execute()

    async def increment(self, pk: int) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hincrby(record(pk), "dep_delay", 1)
            pipe.zincrby(ranged("dep_delay"), 1, str(pk))
            await pipe.execute()

    async def transfer(self, one: int, other: int) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            while True:
                try:
                    await pipe.watch(record(one), record(other))
                    source = object_of_hash(await pipe.hgetall(record(one)))
                    target = object_of_hash(await pipe.hgetall(record(other)))
                    pipe.multi()
                    _set_delay(pipe, one, (source.dep_delay or 0) - 1)
                    _set_delay(pipe, other, (target.dep_delay or 0) + 1)
                    await pipe.execute()
                    return
                except WatchError:
                    continue

    async def delete(self, pk: int) -> None:
        flight = object_of_hash(await self._redis.hgetall(record(pk)))
        async with self._redis.pipeline(transaction=True) as pipe:
            _unstore(pipe, flight)
            await pipe.execute()

    async def delete_tagged(self, tail: str) -> int:
        flights = await self._objects(await self._tailed(f"[{tail}\0", f"[{tail}\0\xff"))
        async with self._redis.pipeline(transaction=True) as pipe:
            for flight in flights:
                _unstore(pipe, flight)
            await pipe.execute()
        return len(flights)

    # Reads.

    async def _objects(self, pks: Sequence[Any]) -> list[PlainFlight]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for pk in pks:
                pipe.hgetall(record(pk.decode() if isinstance(pk, bytes) else pk))
            return [object_of_hash(stored) for stored in await pipe.execute()]

    async def _ids(self, pks: Sequence[Any]) -> list[int]:
        return [flight.id for flight in await self._objects(pks)]

    async def read(self, pk: int) -> dict[str, Any] | None:
        stored = await self._redis.hgetall(record(pk))
        return object_of_hash(stored).model_dump(mode="json") if stored else None

    async def lifetime(self, pk: int) -> float:
        return float(await self._redis.ttl(record(pk)))

    async def get(self, pk: int) -> int:
        return object_of_hash(await self._redis.hgetall(record(pk))).id

    async def get_many(self, pks: Sequence[int]) -> list[int]:
        return await self._ids(pks)

    async def get_each(self, pks: Sequence[int]) -> list[int]:
        return list(await asyncio.gather(*(self.get(pk) for pk in pks)))

    async def in_range(self, low: int, high: int) -> list[int]:
        return await self._ids(await self._redis.zrangebyscore(ranged("dep_delay"), low, high))

    async def _first(
        self, low: str, sets: Sequence[str], *, wanted: bool = True, descending: bool = False
    ) -> list[int]:
        """Walk a sorted set in chunks, test membership in bulk, stop at 20."""
        key = ranged("dep_delay")
        taken: list[bytes] = []
        offset = 0
        while len(taken) < 20:
            if descending:
                pks = await self._redis.zrevrangebyscore(key, "+inf", low, start=offset, num=200)
            else:
                pks = await self._redis.zrangebyscore(key, low, "+inf", start=offset, num=200)
            if not pks:
                break
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in sets:
                    pipe.smismember(name, pks)
                hits = await pipe.execute()
            taken += [pk for pk, *found in zip(pks, *hits, strict=True) if any(found) is wanted]
            offset += 200
        return await self._ids(taken[:20])

    async def page(self, carrier: str, above: int) -> list[int]:
        return await self._first(f"({above}", [tag("carrier", carrier)])

    async def rare_page(self, carrier: str, above: int) -> list[int]:
        pks = list(await self._redis.smembers(tag("carrier", carrier)))
        scores = await self._redis.zmscore(ranged("dep_delay"), pks)
        late = [
            (score, pk) for score, pk in zip(scores, pks, strict=True) if score is not None and score > above
        ]
        return await self._ids([pk for _, pk in sorted(late)[:20]])

    async def composite_page(self, dest: str, above: int) -> list[int]:
        return await self._ids(
            await self._redis.zrangebyscore(composite(dest), f"({above}", "+inf", start=0, num=20)
        )

    async def either_page(self, one: str, other: str) -> list[int]:
        return await self._first("-inf", [tag("carrier", one), tag("carrier", other)], descending=True)

    async def without_page(self, carrier: str, above: int) -> list[int]:
        return await self._first(f"({above}", [tag("carrier", carrier)], wanted=False)

    async def count_range(self, above: int) -> int:
        return int(await self._redis.zcount(ranged("dep_delay"), f"({above}", "+inf"))

    async def count_composite(self, dest: str, above: int) -> int:
        return int(await self._redis.zcount(composite(dest), f"({above}", "+inf"))

    async def count_tagged(self, carrier: str, above: int) -> int:
        pks = await self._redis.zrangebyscore(ranged("dep_delay"), f"({above}", "+inf")
        total = 0
        for first in range(0, len(pks), 5000):
            total += sum(await self._redis.smismember(tag("carrier", carrier), pks[first : first + 5000]))
        return total

    async def _tailed(self, low: str, high: str) -> list[bytes]:
        entries = await self._redis.zrangebylex(ranged("tailnum"), low, high)
        return [entry.rpartition(b"\0")[2] for entry in entries]

    async def prefixed(self, prefix: str) -> list[int]:
        return await self._ids(await self._tailed(f"[{prefix}", f"[{prefix}\xff"))

    async def walk(self, carrier: str, pages: int) -> list[int]:
        found: list[int] = []
        offset = 0
        waiting: list[bytes] = []
        for _ in range(pages):
            while len(waiting) < 20:
                pks = await self._redis.zrange(ranged("dep_delay"), offset, offset + 199)
                if not pks:
                    break
                hits = await self._redis.smismember(tag("carrier", carrier), pks)
                waiting += [pk for pk, hit in zip(pks, hits, strict=True) if hit]
                offset += 200
            found += await self._ids(waiting[:20])
            del waiting[:20]
        return found

    async def facets(self) -> dict[str, int]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for carrier in CARRIERS:
                pipe.scard(tag("carrier", carrier))
            return {name: count for name, count in zip(CARRIERS, await pipe.execute(), strict=True) if count}

    async def close(self) -> None:
        await self._redis.aclose()
