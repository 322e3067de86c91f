"""walrus, as its documentation says. It is synchronous, stores one record at a time, and has neither limits nor counts.

It indexes a missing integer as 0, so that only what is above 0 can be asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import walrus

from benchmarks.contenders.peer import INTEGERS, plain, typed

INDEXED = ("dep_delay", "arr_delay")


def _model(db: walrus.Database) -> Any:
    fields: dict[str, Any] = {name: walrus.IntegerField(index=name in INDEXED) for name in INTEGERS}
    fields |= {name: walrus.TextField(index=True) for name in ("carrier", "origin", "dest", "tailnum")}
    fields |= {"id": walrus.IntegerField(primary_key=True), "time_hour": walrus.DateTimeField(index=True)}
    return type("Flight", (walrus.Model,), {"__database__": db, "__namespace__": "w", **fields})


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return typed(row) | {"id": row["id"] + 1}  # it takes a key of 0 for none


def _first(flights: Iterable[Any]) -> list[int]:
    return [flight.id - 1 for flight in islice(flights, 20)]


class Walrus:
    """walrus."""

    async def open(self, url: str) -> None:
        self._db = walrus.Database.from_url(url)
        self._model = _model(self._db)

    async def load(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self._model.create(**_fields(row))

    async def create(self, row: dict[str, Any]) -> None:
        self._model.create(**_fields(row))

    async def change(self, pk: int, dep_delay: int) -> None:
        flight = self._model.load(pk + 1)
        flight.dep_delay = dep_delay
        flight.save()

    async def increment(self, pk: int) -> None:
        self._model.load(pk + 1).incr(self._model.dep_delay, 1)

    async def delete(self, pk: int) -> None:
        self._model.load(pk + 1).delete()

    async def delete_tagged(self, tail: str) -> None:
        self._model.query_delete(self._model.tailnum == tail)

    async def read(self, pk: int) -> dict[str, Any] | None:
        try:
            return plain(self._model.load(pk + 1)) | {"id": pk}
        except KeyError:
            return None

    async def get(self, pk: int) -> int:
        return int(self._model.load(pk + 1).id) - 1

    async def in_range(self, low: int, high: int) -> list[int]:
        return [flight.id - 1 for flight in self._model.query(self._model.dep_delay.between(low, high))]

    async def page(self, carrier: str, above: int) -> list[int]:
        flight = self._model
        where = (flight.carrier == carrier) & (flight.dep_delay > above)
        return _first(flight.query(where, order_by=flight.dep_delay))

    rare_page = page

    async def composite_page(self, dest: str, above: int) -> list[int]:
        flight = self._model
        where = (flight.dest == dest) & (flight.arr_delay > above)
        return _first(flight.query(where, order_by=flight.arr_delay))

    async def either_page(self, one: str, other: str) -> list[int]:
        flight = self._model
        where = (flight.carrier == one) | (flight.carrier == other)
        return _first(flight.query(where, order_by=flight.dep_delay.desc()))

    async def without_page(self, carrier: str, above: int) -> list[int]:
        flight = self._model
        where = (flight.carrier != carrier) & (flight.dep_delay > above)
        return _first(flight.query(where, order_by=flight.dep_delay))

    async def close(self) -> None:
        self._db.close()
