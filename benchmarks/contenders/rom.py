"""rom, as its documentation says. Synchronous; numbers its records itself; no negation, no increment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
import rom

from benchmarks.contenders.peer import INTEGERS, plain, typed

INDEXED = ("dep_delay", "arr_delay")
NAMES = ("carrier", "origin", "dest", "tailnum", "time_hour", *INTEGERS)


def _tag(**more: bool) -> Any:
    return rom.Text(index=True, keygen=rom.IDENTITY, **more)


def _model(connection: Any) -> Any:
    columns: dict[str, Any] = {name: rom.Integer(index=name in INDEXED) for name in INTEGERS}
    columns |= {name: _tag() for name in ("carrier", "origin", "dest")}
    columns |= {
        "tailnum": _tag(prefix=True),
        "time_hour": rom.DateTime(index=True),
        "number": rom.Integer(),
        "_conn": connection,
    }
    return type("Flight", (rom.Model,), columns)


def _ids(flights: Sequence[Any]) -> list[int]:
    return [flight.number for flight in flights]


class Rom:
    """rom."""

    async def open(self, url: str) -> None:
        rom.session.null_session = True  # its cache of objects would answer in the server's place
        self._redis = redis.Redis.from_url(url)
        self._model = _model(self._redis)
        self._keys: dict[int, int] = {}

    def _new(self, row: dict[str, Any]) -> Any:
        fields = typed(row)
        number = fields.pop("id")
        flight = self._model(number=number, **fields)
        if flight.id != number + 1:
            self._keys[number] = flight.id
        return flight

    def _get(self, pk: int) -> Any:
        return self._model.get(self._keys.get(pk, pk + 1))

    async def load(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self._new(row).save()

    async def create(self, row: dict[str, Any]) -> None:
        self._new(row).save()

    async def change(self, pk: int, dep_delay: int) -> None:
        flight = self._get(pk)
        flight.dep_delay = dep_delay
        flight.save()

    async def delete(self, pk: int) -> None:
        self._get(pk).delete()

    async def delete_tagged(self, tail: str) -> None:
        self._model.query.filter(tailnum=tail).delete()

    async def read(self, pk: int) -> dict[str, Any] | None:
        flight = self._get(pk)
        return {"id": flight.number} | plain(flight, NAMES) if flight else None

    async def get(self, pk: int) -> int:
        return int(self._get(pk).number)

    async def get_many(self, pks: Sequence[int]) -> list[int]:
        return _ids(self._model.get([self._keys.get(pk, pk + 1) for pk in pks]))

    async def in_range(self, low: int, high: int) -> list[int]:
        return _ids(self._model.query.filter(dep_delay=(low, high)).all())

    async def page(self, carrier: str, above: int) -> list[int]:
        query = self._model.query.filter(carrier=carrier, dep_delay=(above + 1, None))
        return _ids(query.order_by("dep_delay").limit(0, 20).all())

    rare_page = page

    async def composite_page(self, dest: str, above: int) -> list[int]:
        query = self._model.query.filter(dest=dest, arr_delay=(above + 1, None))
        return _ids(query.order_by("arr_delay").limit(0, 20).all())

    async def either_page(self, one: str, other: str) -> list[int]:
        query = self._model.query.filter(carrier=[one, other])
        return _ids(query.order_by("-dep_delay").limit(0, 20).all())

    async def count_range(self, above: int) -> int:
        return int(self._model.query.filter(dep_delay=(above + 1, None)).count())

    async def count_composite(self, dest: str, above: int) -> int:
        return int(self._model.query.filter(dest=dest, arr_delay=(above + 1, None)).count())

    async def count_tagged(self, carrier: str, above: int) -> int:
        return int(self._model.query.filter(carrier=carrier, dep_delay=(above + 1, None)).count())

    async def prefixed(self, prefix: str) -> list[int]:
        return _ids(self._model.query.startswith(tailnum=prefix).all())

    async def walk(self, carrier: str, pages: int) -> list[int]:
        query = self._model.query.filter(carrier=carrier).order_by("dep_delay")
        found: list[int] = []
        for page in range(pages):
            found += _ids(query.limit(20 * page, 20).all())
        return found

    async def close(self) -> None:
        self._redis.close()
