"""The library, used as its documentation says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from benchmarks.flight import Flight
from redisom_lite import Database


class Ours:
    """redisom_lite."""

    def __init__(self, url: str, name: str = "redisom_lite", *, multiplex: bool = True) -> None:
        self.name = name
        self.db = Database(url, namespace=name, multiplex=multiplex)

    async def load(self, flights: Sequence[dict[str, Any]]) -> None:
        self.db.bind(Flight)
        await Flight.objects.save_many([Flight.model_validate(flight) for flight in flights])

    async def create(self, flight: dict[str, Any]) -> None:
        await Flight.model_validate(flight).save()

    async def create_with_ttl(self, flight: dict[str, Any], seconds: int) -> None:
        await Flight.model_validate(flight).save(ttl=seconds)

    async def change(self, pk: int, dep_delay: int) -> None:
        flight = await Flight.objects.get(pk)
        flight.dep_delay = dep_delay
        await flight.save()

    async def increment(self, pk: int) -> None:
        await self._held.inc(dep_delay=1)

    async def hold(self, pk: int) -> None:
        """Load the flight that `increment` adds to."""
        self._held = await Flight.objects.get(pk)

    async def delete(self, pk: int) -> None:
        await Flight.objects.delete(pk)

    async def delete_tagged(self, tail: str) -> int:
        return await Flight.objects.find(Flight.tailnum == tail).delete()

    async def get(self, pk: int) -> int:
        return (await Flight.objects.get(pk)).id

    async def get_many(self, pks: Sequence[int]) -> list[int]:
        return [flight.id for flight in await Flight.objects.get_many(pks) if flight is not None]

    async def get_each(self, pks: Sequence[int]) -> list[int]:
        return [flight.id for flight in await asyncio.gather(*(Flight.objects.get(pk) for pk in pks))]

    async def in_range(self, low: int, high: int) -> list[int]:
        return [flight.id for flight in await Flight.objects.find(Flight.dep_delay.between(low, high))]

    async def page(self, carrier: str, above: int) -> list[int]:
        query = Flight.objects.find(Flight.carrier == carrier, Flight.dep_delay > above)
        return [flight.id for flight in await query.order_by(Flight.dep_delay).limit(20)]

    async def composite_page(self, dest: str, above: int) -> list[int]:
        query = Flight.objects.find(Flight.dest == dest, Flight.arr_delay > above)
        return [flight.id for flight in await query.order_by(Flight.arr_delay).limit(20)]

    async def either_page(self, one: str, other: str) -> list[int]:
        query = Flight.objects.find((Flight.carrier == one) | (Flight.carrier == other))
        return [flight.id for flight in await query.order_by(Flight.dep_delay.desc()).limit(20)]

    async def without_page(self, carrier: str, above: int) -> list[int]:
        query = Flight.objects.find(~(Flight.carrier == carrier), Flight.dep_delay > above)
        return [flight.id for flight in await query.order_by(Flight.dep_delay).limit(20)]

    async def count_range(self, above: int) -> int:
        return await Flight.objects.find(Flight.dep_delay > above).count()

    async def count_composite(self, dest: str, above: int) -> int:
        return await Flight.objects.find(Flight.dest == dest, Flight.arr_delay > above).count()

    async def count_tagged(self, carrier: str, above: int) -> int:
        return await Flight.objects.find(Flight.carrier == carrier, Flight.dep_delay > above).count()

    async def prefixed(self, prefix: str) -> list[int]:
        return sorted([flight.id for flight in await Flight.objects.find(Flight.tailnum.startswith(prefix))])

    async def walk(self, carrier: str, pages: int) -> list[int]:
        query = Flight.objects.find(Flight.carrier == carrier).order_by(Flight.dep_delay)
        found: list[int] = []
        after: str | None = None
        for _ in range(pages):
            page = await query.page(size=20, after=after)
            found += [flight.id for flight in page.items]
            after = page.next
            if after is None:
                break
        return found

    async def facets(self) -> dict[str, int]:
        return await Flight.objects.find().facets(Flight.carrier)

    async def bytes_per_record(self) -> float:
        return await bytes_of(
            self.db, b"{" + self.name.encode() + b":flight}*", await Flight.objects.find().count()
        )

    async def close(self) -> None:
        await self.db.aclose()


async def bytes_of(db: Database, pattern: bytes, records: int) -> float:
    """MEMORY USAGE of every key that matches, by record."""
    total, cursor = 0, 0
    while True:
        cursor, keys = await db.redis.scan(cursor, match=pattern, count=1000)
        pipe = db.redis.pipeline(transaction=False)
        for key in keys:
            pipe.memory_usage(key, samples=0 if b":r:" not in key and b"/r/" not in key else 5)
        total += sum(size or 0 for size in await pipe.execute())
        if cursor == 0:
            return total / records
