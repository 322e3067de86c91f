"""What a key is: a record of a model, a key that a model's indexes are made of, or neither.

By its name: every key of a model begins with the model's base (`{tag}` or `{tag}/prefix`, see `keys.py`). A base that
no model of this process has may be one of another program's models; that is asked of the server, once for each base.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redisom_lite.engine import inspection
from redisom_lite.engine.administration import unrefused
from redisom_lite.engine.store import Store
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.sweeping import models_of

_KEY: Final = re.compile(
    rb"(\{[^{}]+\}(?:/[^:]*)?)(:(?:k|due|memo|meta|op(?::.*)?|[rpixtvcu]:.*))", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Plain:
    """A key the mapper knows nothing of."""


@dataclass(frozen=True, slots=True)
class RecordKey:
    """A record of a model of this process, by its primary key's sort form."""

    keyspace: Keyspace
    member: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A key of a model that must not be given a lifetime here; `cure` says what to do instead."""

    cure: str


KeyKind = Plain | RecordKey | Refused

_PLAIN: Final = Plain()
_INDEX: Final = Refused("an index key has no lifetime of its own: set those of the records")
_PART: Final = Refused("a part of a record has the lifetime of its record: set that")
_FOREIGN: Final = Refused("it is of a model this process has not declared: import that model's module first")


class Recognition:
    """Tells keys apart; made for one pass, as models may be declared between two."""

    def __init__(self, store: Store) -> None:
        self._store = store
        keyspaces = [store.keyspace(model.__redisom_schema__) for model in models_of(store)]
        self._known = {base: keyspace for keyspace in keyspaces for base in keyspace.bases}
        self._models: dict[bytes, bool] = {}

    async def kinds(self, keys: Sequence[bytes]) -> list[KeyKind]:
        """What each key is. Redis: EXISTS of `:meta` for each base not seen before."""
        parts = [_KEY.fullmatch(key) for key in keys]
        new = {part[1] for part in parts if part} - self._known.keys() - self._models.keys()
        if new:
            asked = sorted(new)
            commands = [(b"EXISTS", base + b":meta") for base in asked]
            replies = unrefused(await self._store.transport.commands(commands, retry=True))
            self._models |= dict(zip(asked, map(bool, replies), strict=True))
        return [self._kind(part) for part in parts]

    def _kind(self, part: re.Match[bytes] | None) -> KeyKind:
        if part is None:
            return _PLAIN
        keyspace = self._known.get(part[1])
        if keyspace is None:
            return _FOREIGN if self._models[part[1]] else _PLAIN
        if inspection.is_part(part[2]):
            return _PART
        if not inspection.is_record(part[2]):
            return _INDEX
        member = inspection.member_of_record(keyspace, part[2])
        return _FOREIGN if member is None else RecordKey(keyspace, member)
