"""The library, used as its documentation says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from redisom_lite import Composite, Database, Field, Key, Meta, Model, Range, Tag
from redisom_lite.transaction import Transaction


class Flight(Model):
    """A flight, indexed: three tags, four ranges (one of text), one composite."""

    meta = Meta(prefix="flight", indexes=[Composite("dest", "arr_delay")])

    id: Key[int]
    carrier: Tag[str]
    origin: Tag[str]
    dest: Tag[str]
    dep_delay: Range[int | None] = Field(default=None)
    arr_delay: Range[int | None] = Field(default=None)
    time_hour: Range[datetime]
    tailnum: Range[str | None] = Field(default=None)
    year: int
    month: int
    day: int
    dep_time: int | None = None
    sched_dep_time: int
    arr_time: int | None = None
    sched_arr_time: int
    flight: int
    air_time: int | None = None
    distance: int
    hour: int
    minute: int


def _ids(flights: Sequence[Flight]) -> list[int]:
    return [flight.id for flight in flights]


class RedisomLite:
    """redisom_lite."""

    async def open(self, url: str) -> None:
        self._db = db = Database(url)
        db.bind(Flight)
        self._held: dict[int, Flight] = {}

        @db.atomic(retries=10)
        async def transfer(tx: Transaction, one: int, other: int) -> None:
            source, target = await tx.get_many(Flight, [one, other])
            source.dep_delay -= 1
            target.dep_delay += 1
            tx.save(source, target)

        self.transfer = transfer

    async def load(self, rows: Sequence[dict[str, Any]]) -> None:
        await Flight.objects.save_many([Flight.model_validate(row) for row in rows])

    async def create(self, row: dict[str, Any]) -> None:
        await Flight.model_validate(row).save()

    async def create_with_ttl(self, row: dict[str, Any], seconds: int) -> None:
        await Flight.model_validate(row).save(ttl=seconds)

    async def change(self, pk: int, dep_delay: int) -> None:
        flight = await Flight.objects.get(pk)
        flight.dep_delay = dep_delay
        await flight.save()

    async def increment(self, pk: int) -> None:
        if pk not in self._held:
            self._held[pk] = await Flight.objects.get(pk)
        await self._held[pk].inc(dep_delay=1)

    async def delete(self, pk: int) -> None:
        await Flight.objects.delete(pk)

    async def delete_tagged(self, tail: str) -> int:
        return await Flight.objects.find(Flight.tailnum == tail).delete()

    async def read(self, pk: int) -> dict[str, Any] | None:
        flight = await Flight.objects.get_or_none(pk)
        return flight and flight.model_dump(mode="json")

    async def lifetime(self, pk: int) -> float:
        left = await (await Flight.objects.get(pk)).ttl()
        return left.total_seconds() if left else 0.0

    async def get(self, pk: int) -> int:
        return (await Flight.objects.get(pk)).id

    async def get_many(self, pks: Sequence[int]) -> list[int]:
        return [flight.id for flight in await Flight.objects.get_many(pks) if flight is not None]

    async def get_each(self, pks: Sequence[int]) -> list[int]:
        return _ids(await asyncio.gather(*(Flight.objects.get(pk) for pk in pks)))

    async def in_range(self, low: int, high: int) -> list[int]:
        return _ids(await Flight.objects.find(Flight.dep_delay.between(low, high)))

    async def page(self, carrier: str, above: int) -> list[int]:
        query = Flight.objects.find(Flight.carrier == carrier, Flight.dep_delay > above)
        return _ids(await query.order_by(Flight.dep_delay).limit(20))

    rare_page = page  # the planner finds the way

    async def composite_page(self, dest: str, above: int) -> list[int]:
        query = Flight.objects.find(Flight.dest == dest, Flight.arr_delay > above)
        return _ids(await query.order_by(Flight.arr_delay).limit(20))

    async def either_page(self, one: str, other: str) -> list[int]:
        query = Flight.objects.find((Flight.carrier == one) | (Flight.carrier == other))
        return _ids(await query.order_by(Flight.dep_delay.desc()).limit(20))

    async def without_page(self, carrier: str, above: int) -> list[int]:
        query = Flight.objects.find(~(Flight.carrier == carrier), Flight.dep_delay > above)
        return _ids(await query.order_by(Flight.dep_delay).limit(20))

    async def count_range(self, above: int) -> int:
        return await Flight.objects.find(Flight.dep_delay > above).count()

    async def count_composite(self, dest: str, above: int) -> int:
        return await Flight.objects.find(Flight.dest == dest, Flight.arr_delay > above).count()

    async def count_tagged(self, carrier: str, above: int) -> int:
        return await Flight.objects.find(Flight.carrier == carrier, Flight.dep_delay > above).count()

    async def prefixed(self, prefix: str) -> list[int]:
        return _ids(await Flight.objects.find(Flight.tailnum.startswith(prefix)))

    async def walk(self, carrier: str, pages: int) -> list[int]:
        query = Flight.objects.find(Flight.carrier == carrier).order_by(Flight.dep_delay)
        found: list[int] = []
        after: str | None = None
        for _ in range(pages):
            page = await query.page(size=20, after=after)
            found += _ids(page.items)
            after = page.next
            if after is None:
                break
        return found

    async def facets(self) -> dict[str, int]:
        return await Flight.objects.find().facets(Flight.carrier)

    async def close(self) -> None:
        await self._db.aclose()
