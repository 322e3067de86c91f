"""What all structures have in common: where they are, how long they live, and how they are written and read.

Keys: `{namespace:name}.kind`, or `{namespace:group}.kind/name` in a group, every part percent-encoded as in the keys of
models. The byte after the hash tag is `:` or `/` in every key of a model and `.` in every key of a structure, so that
none is ever the other; the kind keeps structures of one name and different kinds apart.

Writes: one EVALSHA each, of a script that sends the commands named in the docstring, sets the lifetime, and keeps its
answer for a minute under `...:op:<process>` (of a part: once for its model). A write whose answer is lost is sent again
and gets that answer: it takes effect exactly once. Reads are the commands named, in one round trip.

Lifetimes: `ttl` is given to a structure that a write creates; with `sliding` every write and every read renews it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from redisom_lite import keys
from redisom_lite.containers.once import TOKENS, Token
from redisom_lite.containers.typed import Values, values_of
from redisom_lite.engine.node import Arg
from redisom_lite.engine.scripts import load
from redisom_lite.engine.store import Store
from redisom_lite.errors import ConstraintError, DeclarationError, NotFoundError, QueryError, RedisomError
from redisom_lite.part import Place
from redisom_lite.schema.lifetime import Lifetime, milliseconds

if TYPE_CHECKING:
    from typing import Self

Word = bytes | int
Command = tuple[Word, ...]

CHUNK: Final = 1000
"""Words of data in one command; items of one page of an iteration."""

_ANSWERS_KEPT: Final = 60_000  # ms: longer than any repetition of a step
_REASONS: Final = {
    b"bound": "the number would leave its bounds: nothing was changed",
    b"number": "what is stored is no number, or the sum is too large for one: nothing was changed",
}


class Structure:
    """One structure on the server. Making it does no I/O; it exists as soon as it holds something.

    - `name`: together with the class, what it is found by, in the database's namespace.
    - `ttl`: its lifetime from the write that creates it: a timedelta, seconds, or text such as "30m", "7d".
    - `sliding`: every write and read renews the lifetime.
    - `group`: structures of one group share a hash tag, so that on a cluster one step can combine them.
    """

    kind: ClassVar[bytes]
    companions: ClassVar[tuple[bytes, ...]] = ()
    """Further keys of the structure, as what follows its key."""
    types: ClassVar[tuple[Any, ...]] = ()
    """What it holds, by the arguments in brackets."""
    parameters: ClassVar[int] = 0

    def __init__(
        self,
        db: Store,
        name: str,
        *,
        ttl: Lifetime | None = None,
        sliding: bool = False,
        group: str | None = None,
    ) -> None:
        if sliding and ttl is None:
            raise DeclarationError(
                f"{type(self).__name__}: sliding=True has no lifetime to renew: give a ttl too"
            )
        if not name or group == "":
            raise DeclarationError(
                f"{type(self).__name__}: a structure needs a name, and a group is not empty"
            )
        key = keys.hash_tag(db.namespace, name if group is None else group) + b"." + self.kind
        if group is not None:
            key += b"/" + keys.encode(name.encode())
        ttl_ms = None if ttl is None else milliseconds(ttl, f"{type(self).__name__}(ttl=...)")
        self._settle(Place(db, key, f"{type(self).__name__} {name!r}"), ttl_ms, sliding=sliding)

    def _settle(self, place: Place, ttl_ms: int | None = None, *, sliding: bool = False) -> None:
        self._check_types()
        self._place = place
        self._ttl_ms = ttl_ms
        self._sliding = sliding
        self._own = (place.key, *(place.key + companion for companion in self.companions))

    @classmethod
    def unplaced(cls, options: dict[str, Any]) -> Self:
        """One that is nowhere yet: what `Part` has of it."""
        made = object.__new__(cls)
        made._check_types()
        set_options: Any = made._options
        set_options(**options)
        return made

    def at(self, place: Place) -> Self:
        """The same, there."""
        made = copy(self)
        made._settle(place)
        return made

    def _options(self) -> None:
        """Take the options that are not about place and lifetime."""

    def _check_types(self) -> None:
        if len(self.types) < self.parameters:
            raise DeclarationError(
                f"{type(self).__name__} needs to know what it holds: write {self._example()}"
            )

    @classmethod
    def _example(cls) -> str:
        return f"{cls.__name__}[{', '.join(['str', 'int'][: cls.parameters])}](...)"

    if not TYPE_CHECKING:

        def __class_getitem__(cls, arguments: Any) -> Any:
            given = arguments if isinstance(arguments, tuple) else (arguments,)
            if any(_is_open(argument) for argument in given):
                return super().__class_getitem__(arguments)
            return _holding(cls, given)

    def __repr__(self) -> str:
        return f"<{self._place.name}>"

    @classmethod
    def _values(cls, position: int = 0) -> Values[Any]:
        return values_of(cls.types[position])

    @property
    def key(self) -> str:
        """Its key on the server."""
        return self._place.key.decode("ascii")

    async def exists(self) -> bool:
        """Whether it holds anything. Redis: EXISTS."""
        (count,) = await self._read((b"EXISTS", *self._own))
        return bool(count)

    async def delete(self) -> bool:
        """Delete it; whether there was one. Redis: UNLINK."""
        (count,) = await self._write((b"UNLINK", *self._own))
        return bool(count)

    async def ttl(self) -> timedelta | None:
        """What is left of its lifetime, to the millisecond; None for no end. `NotFoundError` if there is none.

        Redis: PTTL.
        """
        replies: list[int] = await self._send([(b"PTTL", key) for key in self._own])
        if all(ms == -2 for ms in replies):
            raise self._missing()
        ms = max(replies)
        return None if ms < 0 else timedelta(milliseconds=ms)

    async def expire(self, ttl: Lifetime) -> None:
        """Set its lifetime from now on. `NotFoundError` if there is none. Redis: PEXPIRE."""
        ms = milliseconds(ttl, f"{self._place.name}: a lifetime")
        await self._set_lifetime([(b"PEXPIRE", key, ms) for key in self._own])

    async def persist(self) -> None:
        """Take its lifetime away. `NotFoundError` if there is none. Redis: PERSIST."""
        await self._set_lifetime([(b"PERSIST", key) for key in self._own])

    async def _set_lifetime(self, commands: Sequence[Command]) -> None:
        if self._place.owner is not None:
            raise QueryError(f"{self._place.name} has the lifetime of its record: change that of the record")
        *_, there = await self._send([*commands, (b"EXISTS", *self._own)])
        if not there:
            raise self._missing()

    def _missing(self) -> NotFoundError:
        return NotFoundError(
            f"{self._place.name}: there is none (it was never written, or its lifetime has ended)"
        )

    # What the kinds of structure are made of.

    async def _read(self, *commands: Command) -> list[Any]:
        """The replies of reading commands; a sliding lifetime is renewed in the same round trip."""
        if self._sliding and self._ttl_ms is not None:
            renewal: list[Command] = [(b"PEXPIRE", key, self._ttl_ms) for key in self._own]
            return (await self._send([*commands, *renewal]))[: len(commands)]
        return await self._send(commands)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        """The replies of commands that may run twice."""
        replies = await self._place.store.transport.commands(commands, retry=True)
        for reply in replies:
            if isinstance(reply, RedisomError):
                raise reply
        return replies

    async def _ask(self, script: str, *args: Arg) -> Any:
        """The reply of a script that writes nothing."""
        reply = await self._place.store.transport.call(load(script), self._own, args)
        if self._sliding:
            await self._read()
        return reply

    async def _write(self, *commands: Command, others: Sequence[bytes] = ()) -> list[Any]:
        """The replies of commands that take effect once; `others` are the keys they name besides its own."""
        words: list[Arg] = [len(commands)]
        for command in commands:
            words += (len(command), *command)
        replies: list[Any] = await self._once("structure", words, others=others)
        return replies

    async def _once(
        self, script: str, args: Iterable[Arg], *, others: Sequence[bytes] = (), token: Token | None = None
    ) -> Any:
        """The answer of a script that begins with once.lua; what it refuses is raised."""
        place, token = self._place, token or TOKENS.take()
        answers = (place.key if place.owner is None else place.owner.base) + b":op:" + token.process
        keys_ = [answers, *self._own, *others]
        if place.owner is not None:
            keys_ += (place.owner.record, place.owner.base + b":meta")
        head: tuple[Arg, ...] = (token.slot, token.sequence, _ANSWERS_KEPT, self._lifetime(), len(self._own))
        reply = await place.store.transport.call(load(script), keys_, [*head, *args])
        TOKENS.give_back(token)
        if reply[0] != 1:
            raise self._refusal(reply[1])
        return reply[1]

    def _lifetime(self) -> bytes:
        if self._place.owner is not None:
            return b"@" + self._place.owner.name
        if self._ttl_ms is None:
            return b""
        return b"%b%d" % (b"=" if self._sliding else b"?", self._ttl_ms)

    def _refusal(self, reason: bytes) -> RedisomError:
        if reason == b"missing":
            return NotFoundError(
                f"{self._place.name}: there is no record for it to be part of: save the record first"
            )
        return ConstraintError(f"{self._place.name}: {_REASONS[reason]}")


def _is_open(argument: Any) -> bool:
    """Whether a type still has a variable in it, as in code that is itself generic."""
    if isinstance(argument, type):
        return False
    return isinstance(argument, TypeVar) or bool(getattr(argument, "__parameters__", ()))


_made: dict[tuple[type, tuple[Any, ...]], type] = {}


def _holding(cls: type, arguments: tuple[Any, ...]) -> type:
    """The class of structures that hold values of these types."""
    try:
        found = _made.get((cls, arguments))
    except TypeError:  # an annotation that cannot be hashed
        return _made_anew(cls, arguments)
    if found is None:
        found = _made[cls, arguments] = _made_anew(cls, arguments)
    return found


def _made_anew(cls: Any, arguments: tuple[Any, ...]) -> type:
    if len(arguments) != cls.parameters:
        raise DeclarationError(
            f"{cls.__name__} takes {cls.parameters} types in brackets: write {cls._example()}"
        )
    for argument in arguments:
        values_of(argument)
    made = type(
        cls.__name__, (cls,), {"types": arguments, "__module__": cls.__module__, "__doc__": cls.__doc__}
    )
    made.__qualname__ = cls.__qualname__
    return made


def chunks(words: Sequence[Word], size: int = CHUNK) -> Iterable[Sequence[Word]]:
    """Runs of at most `size` words."""
    return (words[first : first + size] for first in range(0, len(words), size))
