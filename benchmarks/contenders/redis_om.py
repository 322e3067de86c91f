"""redis-om and its search module, as its documentation says. It has no increment, no transaction and no facets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Optional

from aredis_om import Field, HashModel, Migrator, NotFoundError, get_redis_connection


class Flight(HashModel, index=True):
    """A flight."""

    id: int = Field(primary_key=True)
    carrier: str = Field(index=True)
    origin: str = Field(index=True)
    dest: str = Field(index=True)
    dep_delay: Optional[int] = Field(default=None, index=True, sortable=True)
    arr_delay: Optional[int] = Field(default=None, index=True, sortable=True)
    time_hour: datetime = Field(index=True)
    tailnum: Optional[str] = Field(default=None, index=True)
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

    class Meta:
        """Short keys, as the others have."""

        global_key_prefix = "om"
        model_key_prefix = "f"


def _ids(flights: Sequence[Any]) -> list[int]:
    return [flight.id for flight in flights]


class RedisOm:
    """redis-om."""

    async def open(self, url: str) -> None:
        self._redis = Flight._meta.database = Flight.Meta.database = get_redis_connection(
            url=url, max_connections=1000
        )
        await Migrator().run()

    async def load(self, rows: Sequence[dict[str, Any]]) -> None:
        for first in range(0, len(rows), 1000):
            await Flight.add([Flight(**row) for row in rows[first : first + 1000]])

    async def create(self, row: dict[str, Any]) -> None:
        await Flight(**row).save()

    async def create_with_ttl(self, row: dict[str, Any], seconds: int) -> None:
        flight = await Flight(**row).save()
        await flight.expire(seconds)

    async def change(self, pk: int, dep_delay: int) -> None:
        flight = await Flight.get(pk)
        await flight.update(dep_delay=dep_delay)

    async def delete(self, pk: int) -> None:
        await Flight.delete(pk)

    async def delete_tagged(self, tail: str) -> int:
        return await Flight.find(Flight.tailnum == tail).delete()

    async def read(self, pk: int) -> dict[str, Any] | None:
        try:
            return (await Flight.get(pk)).model_dump(mode="json", exclude={"pk"})
        except NotFoundError:
            return None

    async def lifetime(self, pk: int) -> float:
        return float(await self._redis.ttl(Flight.make_primary_key(pk)))

    async def get(self, pk: int) -> int:
        return (await Flight.get(pk)).id

    async def get_each(self, pks: Sequence[int]) -> list[int]:
        return _ids(await asyncio.gather(*(Flight.get(pk) for pk in pks)))

    async def in_range(self, low: int, high: int) -> list[int]:
        return _ids(await Flight.find(Flight.dep_delay >= low, Flight.dep_delay <= high).all())

    async def page(self, carrier: str, above: int) -> list[int]:
        query = Flight.find(Flight.carrier == carrier, Flight.dep_delay > above)
        return _ids(await query.sort_by("dep_delay").page(limit=20))

    rare_page = page

    async def composite_page(self, dest: str, above: int) -> list[int]:
        query = Flight.find(Flight.dest == dest, Flight.arr_delay > above)
        return _ids(await query.sort_by("arr_delay").page(limit=20))

    async def either_page(self, one: str, other: str) -> list[int]:
        query = Flight.find((Flight.carrier == one) | (Flight.carrier == other))
        return _ids(await query.sort_by("-dep_delay").page(limit=20))

    async def without_page(self, carrier: str, above: int) -> list[int]:
        query = Flight.find(Flight.carrier != carrier, Flight.dep_delay > above)
        return _ids(await query.sort_by("dep_delay").page(limit=20))

    async def count_range(self, above: int) -> int:
        return int(await Flight.find(Flight.dep_delay > above).count())

    async def count_composite(self, dest: str, above: int) -> int:
        return int(await Flight.find(Flight.dest == dest, Flight.arr_delay > above).count())

    async def count_tagged(self, carrier: str, above: int) -> int:
        return int(await Flight.find(Flight.carrier == carrier, Flight.dep_delay > above).count())

    async def prefixed(self, prefix: str) -> list[int]:
        return _ids(await Flight.find(Flight.tailnum.startswith(prefix)).all())

    async def walk(self, carrier: str, pages: int) -> list[int]:
        query = Flight.find(Flight.carrier == carrier).sort_by("dep_delay")
        found: list[int] = []
        for page in range(pages):
            found += _ids(await query.page(offset=20 * page, limit=20))
        return found

    async def close(self) -> None:
        await self._redis.aclose()
