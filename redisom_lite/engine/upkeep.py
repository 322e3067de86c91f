"""Noticing evicted records of models that declare it, also where nobody asks for them.

The server evicts a record and leaves its index entries, which nothing else evicts: in the end they would fill its
memory. So writes look, now and then, whether a sample of what the registry lists is still there: more often while
they find any gone, hardly ever while they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redisom_lite.engine.transport import Transport
from redisom_lite.errors import RedisomError
from redisom_lite.schema.keyspace import Keyspace

_SAMPLE: Final = 32
_OFTEN: Final = 4
_SELDOM: Final = 4096


class Upkeep:
    """When to look, and the looking. Counts records written, by partition of a model."""

    def __init__(self, transport: Callable[[], Transport]) -> None:
        self._transport = transport
        self._every: dict[tuple[Keyspace, int], int] = {}
        self._written: dict[tuple[Keyspace, int], int] = {}

    def due(self, keyspace: Keyspace, partition: int, written: int) -> bool:
        """Whether it is time to look, now that so many records more of an evictable model have been written."""
        place = (keyspace, partition)
        count = self._written.get(place, 0) + written
        is_due = count >= self._every.get(place, _SAMPLE)
        self._written[place] = 0 if is_due else count
        return is_due

    async def gone(self, keyspace: Keyspace, partition: int) -> list[bytes]:
        """Members of a sample that the registry lists and the server does not have. Redis: ZRANDMEMBER, EXISTS."""
        (sample,) = await self._transport().commands(
            [(b"ZRANDMEMBER", keyspace.registry(partition), b"%d" % _SAMPLE)], retry=True
        )
        if isinstance(sample, RedisomError) or not sample:
            return []
        there = await self._transport().commands(
            [(b"EXISTS", keyspace.record_key(member)) for member in sample], retry=True
        )
        # an error is no proof
        found = [member for member, is_there in zip(sample, there, strict=True) if is_there == 0]
        place = (keyspace, partition)
        every = self._every.get(place, _SAMPLE)
        self._every[place] = max(_OFTEN, every // 2) if found else min(_SELDOM, every * 2)
        return found
