"""Hand-written redis-py, as a careful engineer writes it: the same layout, pipelines and MULTI, pydantic on both ends.

One hash for each record, one sorted set for each range, one set for each tag value, one sorted set for each destination
by arrival delay. It keeps no promise under concurrency beyond MULTI's, cleans up nothing after expiry, and retries
nothing: it does less than the library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline

from benchmarks.flight import PlainFlight
from benchmarks.ours import bytes_of
from redisom_lite import Database

TAGS = ("carrier", "origin", "dest")
RANGES = ("dep_delay", "arr_delay")


class ByHand:
    """redis-py."""

    def __init__(self, url: str, name: str = "redis-py", *, pool: int = 16) -> None:
        self.name = name
        self._prefix = f"{{{name}:flight}}"
        self._redis = Redis.from_pool(BlockingConnectionPool.from_url(url, max_connections=pool))
        self._db = Database(url)

    def _record(self, pk: int | str) -> str:
        return f"{self._prefix}/r/{pk}"

    def _tag(self, name: str, value: str) -> str:
        return f"{self._prefix}/t/{name}/{value}"

    def _range(self, name: str) -> str:
        return f"{self._prefix}/i/{name}"

    def _composite(self, dest: str) -> str:
        return f"{self._prefix}/c/{dest}"

    # Writes.

    def _store(self, pipe: Pipeline, flight: PlainFlight) -> None:
        fields = flight.model_dump(mode="json", exclude_none=True)
        pk = flight.id
        pipe.hset(self._record(pk), mapping=fields)
        pipe.zadd(f"{self._prefix}/k", {str(pk): 0})
        for tag in TAGS:
            pipe.sadd(self._tag(tag, fields[tag]), pk)
        for name in RANGES:
            if name in fields:
                pipe.zadd(self._range(name), {str(pk): fields[name]})
        pipe.zadd(self._range("time_hour"), {str(pk): flight.time_hour.timestamp()})
        if flight.tailnum is not None:
            pipe.zadd(self._range("tailnum"), {f"{flight.tailnum}\0{pk}": 0})
        if flight.arr_delay is not None:
            pipe.zadd(self._composite(flight.dest), {str(pk): flight.arr_delay})

    def _unstore(self, pipe: Pipeline, flight: PlainFlight) -> None:
        pk = flight.id
        pipe.delete(self._record(pk))
        pipe.zrem(f"{self._prefix}/k", pk)
        for tag in TAGS:
            pipe.srem(self._tag(tag, getattr(flight, tag)), pk)
        for name in (*RANGES, "time_hour"):
            pipe.zrem(self._range(name), pk)
        pipe.zrem(self._range("tailnum"), f"{flight.tailnum}\0{pk}")
        pipe.zrem(self._composite(flight.dest), pk)

    async def load(self, flights: Sequence[dict[str, Any]]) -> None:
        objects = [PlainFlight.model_validate(flight) for flight in flights]
        for first in range(0, len(objects), 1000):
            async with self._redis.pipeline(transaction=True) as pipe:
                for flight in objects[first : first + 1000]:
                    self._store(pipe, flight)
                await pipe.execute()

    async def create(self, flight: dict[str, Any]) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            self._store(pipe, PlainFlight.model_validate(flight))
            await pipe.execute()

    async def create_with_ttl(self, flight: dict[str, Any], seconds: int) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            self._store(pipe, PlainFlight.model_validate(flight))
            pipe.expire(self._record(flight["id"]), seconds)
            await pipe.execute()

    async def change(self, pk: int, dep_delay: int) -> None:
        flight = self._object(await self._redis.hgetall(self._record(pk)))
        flight.dep_delay = dep_delay
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(self._record(pk), "dep_delay", str(dep_delay))
            pipe.zadd(self._range("dep_delay"), {str(pk): dep_delay})
            await pipe.execute()

    async def increment(self, pk: int) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hincrby(self._record(pk), "dep_delay", 1)
            pipe.zincrby(self._range("dep_delay"), 1, str(pk))
            await pipe.execute()

    async def hold(self, pk: int) -> None:
        """Nothing to prepare."""

    async def delete(self, pk: int) -> None:
        flight = self._object(await self._redis.hgetall(self._record(pk)))
        async with self._redis.pipeline(transaction=True) as pipe:
            self._unstore(pipe, flight)
            await pipe.execute()

    async def delete_tagged(self, tail: str) -> int:
        flights = await self._objects(await self._tailed(f"[{tail}\0", f"({tail}\x01"))
        async with self._redis.pipeline(transaction=True) as pipe:
            for flight in flights:
                self._unstore(pipe, flight)
            await pipe.execute()
        return len(flights)

    # Reads.

    def _object(self, stored: dict[bytes, bytes]) -> PlainFlight:
        return PlainFlight.model_validate({name.decode(): text for name, text in stored.items()})

    async def _objects(self, pks: Sequence[Any]) -> list[PlainFlight]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for pk in pks:
                pipe.hgetall(self._record(pk.decode() if isinstance(pk, bytes) else pk))
            return [self._object(stored) for stored in await pipe.execute()]

    async def get(self, pk: int) -> int:
        return self._object(await self._redis.hgetall(self._record(pk))).id

    async def get_many(self, pks: Sequence[int]) -> list[int]:
        return [flight.id for flight in await self._objects(pks)]

    async def get_each(self, pks: Sequence[int]) -> list[int]:
        return list(await asyncio.gather(*(self.get(pk) for pk in pks)))

    async def in_range(self, low: int, high: int) -> list[int]:
        pks = await self._redis.zrangebyscore(self._range("dep_delay"), low, high)
        return sorted(flight.id for flight in await self._objects(pks))

    async def _first(
        self, key: str, low: str, sets: Sequence[str], *, wanted: bool = True, descending: bool = False
    ) -> list[int]:
        """Walk a sorted set in chunks, test membership in bulk, stop at 20."""
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
        return [flight.id for flight in await self._objects(taken[:20])]

    async def page(self, carrier: str, above: int) -> list[int]:
        return await self._first(self._range("dep_delay"), f"({above}", [self._tag("carrier", carrier)])

    async def composite_page(self, dest: str, above: int) -> list[int]:
        pks = await self._redis.zrangebyscore(self._composite(dest), f"({above}", "+inf", start=0, num=20)
        return [flight.id for flight in await self._objects(pks)]

    async def either_page(self, one: str, other: str) -> list[int]:
        sets = [self._tag("carrier", one), self._tag("carrier", other)]
        return await self._first(self._range("dep_delay"), "-inf", sets, descending=True)

    async def without_page(self, carrier: str, above: int) -> list[int]:
        return await self._first(
            self._range("dep_delay"), f"({above}", [self._tag("carrier", carrier)], wanted=False
        )

    async def count_range(self, above: int) -> int:
        return int(await self._redis.zcount(self._range("dep_delay"), f"({above}", "+inf"))

    async def count_composite(self, dest: str, above: int) -> int:
        return int(await self._redis.zcount(self._composite(dest), f"({above}", "+inf"))

    async def count_tagged(self, carrier: str, above: int) -> int:
        pks = await self._redis.zrangebyscore(self._range("dep_delay"), f"({above}", "+inf")
        total = 0
        for first in range(0, len(pks), 5000):
            total += sum(
                await self._redis.smismember(self._tag("carrier", carrier), pks[first : first + 5000])
            )
        return total

    async def _tailed(self, low: str, high: str) -> list[bytes]:
        entries = await self._redis.zrangebylex(self._range("tailnum"), low, high)
        return [entry.rpartition(b"\0")[2] for entry in entries]

    async def prefixed(self, prefix: str) -> list[int]:
        return sorted(
            flight.id for flight in await self._objects(await self._tailed(f"[{prefix}", f"[{prefix}\xff"))
        )

    async def walk(self, carrier: str, pages: int) -> list[int]:
        found: list[int] = []
        offset = 0
        waiting: list[bytes] = []
        for _ in range(pages):
            while len(waiting) < 20:
                pks = await self._redis.zrange(self._range("dep_delay"), offset, offset + 199)
                if not pks:
                    break
                hits = await self._redis.smismember(self._tag("carrier", carrier), pks)
                waiting += [pk for pk, hit in zip(pks, hits, strict=True) if hit]
                offset += 200
            found += [flight.id for flight in await self._objects(waiting[:20])]
            del waiting[:20]
        return found

    async def facets(self) -> dict[str, int]:
        carriers = [
            "9E",
            "AA",
            "AS",
            "B6",
            "DL",
            "EV",
            "F9",
            "FL",
            "HA",
            "MQ",
            "OO",
            "UA",
            "US",
            "VX",
            "WN",
            "YV",
        ]
        async with self._redis.pipeline(transaction=False) as pipe:
            for carrier in carriers:
                pipe.scard(self._tag("carrier", carrier))
            return {name: count for name, count in zip(carriers, await pipe.execute(), strict=True) if count}

    async def bytes_per_record(self) -> float:
        count = await self._redis.zcard(f"{self._prefix}/k")
        return await bytes_of(self._db, self._prefix.encode() + b"*", count)

    async def close(self) -> None:
        await self._redis.aclose()
        await self._db.aclose()
