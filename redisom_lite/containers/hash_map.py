"""A map of typed keys to typed values, stored as one hash."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar, overload

from redisom_lite.containers.counter import bound_words
from redisom_lite.containers.structure import CHUNK, Command, Structure, Word, chunks
from redisom_lite.errors import BackendError, ConstraintError, NotFoundError, RedisomError
from redisom_lite.schema.lifetime import Lifetime, milliseconds

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_FORMS: Final = {int: b"i", float: b"f"}


class HashMap(Structure, Generic[K, V]):
    """A dict on the server: `HashMap[str, int](db, "stock")`. One hash, one key; no order."""

    kind = b"hash"
    parameters = 2

    @overload
    async def get(self, key: K) -> V | None: ...
    @overload
    async def get(self, key: K, default: D) -> V | D: ...
    async def get(self, key: K, default: Any = None) -> Any:
        """The value of a key, or `default`. Redis: HGET."""
        (text,) = await self._read((b"HGET", self._place.key, self._key(key)))
        return default if text is None else self._value(text)

    async def get_many(self, keys: Iterable[K]) -> list[V | None]:
        """The values of several keys, in their order, None where there is none. Redis: HMGET."""
        names = [self._key(key) for key in keys]
        commands: list[Command] = [(b"HMGET", self._place.key, *part) for part in chunks(names)]
        texts = [text for reply in await self._read(*commands) for text in reply]
        return [None if text is None else self._value(text) for text in texts]

    async def set(self, key: K, value: V) -> bool:
        """Give a key a value; whether the key is new. Redis: HSET."""
        (added,) = await self._write((b"HSET", self._place.key, self._key(key), self._text(value)))
        return bool(added)

    async def set_default(self, key: K, value: V) -> V:
        """Give a key a value if it has none; the value it has then. Redis: HSETNX, HGET in one step."""
        name = self._key(key)
        _, text = await self._write(
            (b"HSETNX", self._place.key, name, self._text(value)), (b"HGET", self._place.key, name)
        )
        return self._value(text)

    async def update(self, items: Mapping[K, V]) -> int:
        """Give many keys their values, all in one step; how many keys are new. Redis: HSET."""
        words: list[Word] = [
            word for key, value in items.items() for word in (self._key(key), self._text(value))
        ]
        return sum(await self._write(*((b"HSET", self._place.key, *part) for part in chunks(words))))

    async def discard(self, *keys: K) -> int:
        """Remove keys; how many there were. Redis: HDEL."""
        names = [self._key(key) for key in keys]
        return sum(await self._write(*((b"HDEL", self._place.key, *part) for part in chunks(names))))

    async def pop(self, key: K) -> V | None:
        """Remove a key and return its value, exactly once, or None. Redis: HGET, HDEL in one step."""
        name = self._key(key)
        text, _ = await self._write((b"HGET", self._place.key, name), (b"HDEL", self._place.key, name))
        return None if text is None else self._value(text)

    async def incr(self, key: K, by: float = 1, *, ge: float | None = None, le: float | None = None) -> V:
        """Add to the number of a key (0 if it has none), exactly once; the new number.

        For maps to `int` (64 bits) and `float`. `ConstraintError` outside `ge` and `le`, inclusive, which are at most
        2**53 either way. Redis: HGET, HINCRBY or HINCRBYFLOAT, HGET in one step.
        """
        form = _FORMS.get(self.types[1])
        if form is None or (form == b"i" and not isinstance(by, int)):
            raise ConstraintError(f"{self._place.name}: incr() adds ints to ints and numbers to floats")
        words = (b"." + self._key(key), form, repr(by).encode(), *bound_words(ge, le))
        return self._value(await self._once("count", words))

    async def contains(self, key: K) -> bool:
        """Whether a key has a value. Redis: HEXISTS."""
        (found,) = await self._read((b"HEXISTS", self._place.key, self._key(key)))
        return bool(found)

    async def len(self) -> int:
        """How many keys. Redis: HLEN."""
        (count,) = await self._read((b"HLEN", self._place.key))
        return int(count)

    async def items(self) -> dict[K, V]:
        """All of it, at one instant, in memory. Redis: HGETALL."""
        (flat,) = await self._read((b"HGETALL", self._place.key))
        return self._items(flat)

    async def __aiter__(self) -> AsyncIterator[tuple[K, V]]:
        """Keys and values, about a thousand in memory at a time. Redis: HSCAN.

        What is there from the beginning to the end comes up, rarely twice if the map shrinks or grows meanwhile.
        """
        cursor: Any = b"0"
        while True:
            ((cursor, flat),) = await self._read((b"HSCAN", self._place.key, cursor, b"COUNT", CHUNK))
            for item in self._items(flat).items():
                yield item
            if cursor in (b"0", 0):
                return

    async def expire_item(self, key: K, ttl: Lifetime) -> None:
        """Give one key a lifetime of its own, from now; `NotFoundError` if it has no value. Redis: HPEXPIRE.

        Needs Redis 7.4 or Valkey 9; other servers have lifetimes for whole keys only, and this raises `BackendError`.
        Setting the value again takes the lifetime away.
        """
        ms = milliseconds(ttl, f"{self._place.name}: a lifetime")
        command: Command = (b"HPEXPIRE", self._place.key, ms, b"FIELDS", 1, self._key(key))
        (reply,) = await self._place.store.transport.commands([command], retry=True)
        if isinstance(reply, BackendError) and "unknown command" in f"{reply} {reply.__cause__}".lower():
            raise BackendError(
                "this server knows no lifetimes of single items (HPEXPIRE: Redis 7.4, Valkey 9): give the map a ttl, "
                "or keep the items in a model"
            ) from reply
        if isinstance(reply, RedisomError):
            raise reply
        if not reply or reply[0] == -2:
            raise NotFoundError(f"{self._place.name}: there is no such key to give a lifetime")

    def _items(self, flat: list[bytes]) -> dict[K, V]:
        return {
            self._values(0).decode(name, self._place.key): self._value(text)
            for name, text in zip(flat[::2], flat[1::2], strict=True)
        }

    def _key(self, key: K) -> bytes:
        return self._values(0).encode(key)

    def _text(self, value: V) -> bytes:
        return self._values(1).encode(value)

    def _value(self, text: bytes) -> V:
        value: V = self._values(1).decode(text, self._place.key)
        return value
