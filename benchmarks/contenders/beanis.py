"""beanis, as its documentation says. It finds by conditions joined with AND, without order, limit or count.

Its `insert_many`, `update`, `increment_field`, `delete_many` leave indexes as they were: here a record is stored and
deleted by itself, a change saves it whole, and there is no increment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Optional

import beanis
from redis.asyncio import Redis


class Flight(beanis.Document):
    """A flight."""

    id: Optional[str] = None
    carrier: Annotated[str, beanis.IndexedField()]
    origin: Annotated[str, beanis.IndexedField()]
    dest: Annotated[str, beanis.IndexedField()]
    dep_delay: Annotated[Optional[int], beanis.IndexedField()] = None
    arr_delay: Annotated[Optional[int], beanis.IndexedField()] = None
    time_hour: datetime
    tailnum: Annotated[Optional[str], beanis.IndexedField()] = None
    year: int
    month: int
    day: int
    dep_time: Optional[int] = None
    sched_dep_time: int
    arr_time: Optional[int] = None
    sched_arr_time: int
    flight: int
    air_time: Optional[int] = None
    distance: int
    hour: int
    minute: int

    class Settings:
        """A short prefix, as the others have."""

        key_prefix = "b"


def _flight(row: dict[str, Any]) -> Flight:
    return Flight(**row | {"id": str(row["id"])})


def _ids(flights: Sequence[Any]) -> list[int]:
    return [int(flight.id) for flight in flights]


class Beanis:
    """beanis."""

    async def open(self, url: str) -> None:
        self._redis = Redis.from_url(url, decode_responses=True, max_connections=1000)
        await beanis.init_beanis(database=self._redis, document_models=[Flight])

    async def load(self, rows: Sequence[dict[str, Any]]) -> None:
        for first in range(0, len(rows), 100):
            await asyncio.gather(*(_flight(row).insert() for row in rows[first : first + 100]))

    async def create(self, row: dict[str, Any]) -> None:
        await _flight(row).insert()

    async def create_with_ttl(self, row: dict[str, Any], seconds: int) -> None:
        await _flight(row).insert(ttl=seconds)

    async def change(self, pk: int, dep_delay: int) -> None:
        flight = await Flight.get(str(pk))
        flight.dep_delay = dep_delay
        await flight.save()

    async def delete(self, pk: int) -> None:
        await Flight.delete(str(pk))

    async def delete_tagged(self, tail: str) -> int:
        flights = await Flight.find(tailnum=tail)
        for first in range(0, len(flights), 100):
            await asyncio.gather(*(flight.delete_self() for flight in flights[first : first + 100]))
        return len(flights)

    async def read(self, pk: int) -> dict[str, Any] | None:
        flight = await Flight.get(str(pk))
        return flight and flight.model_dump(mode="json")

    async def lifetime(self, pk: int) -> float:
        flight = await Flight.get(str(pk))
        return float(await flight.get_ttl() or 0)

    async def get(self, pk: int) -> int:
        return int((await Flight.get(str(pk))).id)

    async def get_many(self, pks: Sequence[int]) -> list[int]:
        return _ids(await Flight.get_many(list(map(str, pks))))

    async def get_each(self, pks: Sequence[int]) -> list[int]:
        return list(await asyncio.gather(*(self.get(pk) for pk in pks)))

    async def in_range(self, low: int, high: int) -> list[int]:
        return _ids(await Flight.find(dep_delay__gte=low, dep_delay__lte=high))

    async def close(self) -> None:
        await self._redis.aclose()
