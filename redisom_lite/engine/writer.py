"""The one way to write: mutations become a step of apply.lua, and its answer results or errors.

A step is one round trip, atomic, and carries an operation token, so that the transport may send it again after a lost
reply. The token's stamp is the server's time as this process estimates it; a server that finds it too far off answers
so without writing, and the step is stamped anew. Answers that have arrived are acknowledged by later steps, some at a
time, which keeps the server's memory of tokens little longer than what is in flight.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any, Final

from redisom_lite.engine.declare import declare
from redisom_lite.engine.policy import warn_of_eviction
from redisom_lite.engine.scripts import load
from redisom_lite.engine.step import Applied, Change, Failure, Sending, Step, kept
from redisom_lite.engine.transport import Transport
from redisom_lite.engine.upkeep import Upkeep
from redisom_lite.errors import (
    AlreadyExistsError,
    BackendError,
    ConflictError,
    ConstraintError,
    DeclarationError,
    NotFoundError,
    OutOfMemoryError,
    RedisomError,
    UniqueError,
)
from redisom_lite.schema.keyspace import Keyspace
from redisom_lite.schema.mutations import Mutation, look
from redisom_lite.words import WORD, packed

_CLEANED_WHEN_FULL: Final = 4
_ACKNOWLEDGED: Final = 4096
_ACKNOWLEDGED_PER_STEP: Final = 32
_ACKNOWLEDGED_FROM: Final = 8  # so many at a time take the server little longer than one
_REMEMBERED: Final = 60.0  # seconds, or four timeouts when that is longer


class Writer:
    """Writes for one database. `transport` gives the running loop's transport; `timeout` is a step's, in seconds."""

    def __init__(self, transport: Callable[[], Transport], timeout: float) -> None:
        self._transport = transport
        self._window = packed(b"%d" % int(max(_REMEMBERED, 4 * timeout) * 1_000_000))
        self._skew = 0
        self._asked = False
        self._acknowledged: dict[bytes, deque[bytes]] = {}  # packed, by the base of their tokens
        self._count = count()
        self._process, self._name = 0, b""
        self._upkeep = Upkeep(transport)

    async def apply(self, changes: Sequence[Change], *, each: bool = False) -> Applied:
        """Apply changes that share a slot, in one step.

        All of them or none, the first failure raised as its error; with `each`, those that can be, the others'
        failures returned.
        """
        step = Step(changes, each=each)
        try:
            applied = await self._send(step)
        except OutOfMemoryError:
            if not await self._make_room(step):
                raise
            applied = await self._send(step)
        if applied.failures and await self.bury(step, applied.failures):
            applied = await self._again(step, applied) if each else await self._send(step)
        if applied.failures and not each:
            first = applied.failures[0]
            raise error_of(step.keyspace_of(first), first)
        for keyspace, partition in step.models:
            if keyspace.schema.evictable and self._upkeep.due(keyspace, partition, len(changes)):
                with suppress(BackendError):  # what was to be written has been
                    await self._clean(keyspace, partition)
        return applied

    async def _make_room(self, step: Step) -> int:
        """Clean up after evicted records of the models of a step that a full server refused; how many."""
        evictable = [place for place in step.models if place[0].schema.evictable]
        return sum([await self._clean(*place) for place in evictable for _ in range(_CLEANED_WHEN_FULL)])

    async def _clean(self, keyspace: Keyspace, partition: int) -> int:
        """Clean up after evicted records that a sample shows; how many."""
        gone = await self._upkeep.gone(keyspace, partition)
        return await self.look(keyspace, gone)

    async def look(self, keyspace: Keyspace, members: Sequence[bytes]) -> int:
        """Clean up after records of one partition that are gone; how many."""
        cleaned = 0
        for first in range(0, len(members), keyspace.schema.step):
            part = members[first : first + keyspace.schema.step]
            step = Step([(keyspace, look(member, keyspace.tags)) for member in part], each=True)
            cleaned += sum((await self._send(step)).results)
        return cleaned

    async def _again(self, step: Step, applied: Applied) -> Applied:
        """Try once more what failed of a step, and only that: the rest has been written."""
        positions = [failure.position for failure in applied.failures]
        again = await self._send(Step([step.changes[position] for position in positions], each=True))
        results = list(applied.results)
        for position, result in zip(positions, again.results, strict=True):
            results[position] = result
        return Applied(results, [replace(each, position=positions[each.position]) for each in again.failures])

    async def one(self, keyspace: Keyspace, mutation: Mutation) -> Any:
        """Apply one change; its result, or its error raised."""
        return (await self.apply(((keyspace, mutation),))).results[0]

    async def sweep(self, keyspace: Keyspace, partition: int, limit: int) -> int:
        """Clean up to `limit` overdue records of a partition; how many."""
        step = Step((), sweep=limit, also=(keyspace, partition))
        return int((await self._send(step)).results[0])

    async def _send(self, step: Step) -> Applied:
        script, transport = load("apply"), self._transport()
        for _ in range(6):
            sending = self.stamp(step)
            reply = await transport.call(script, step.keys, sending.args)
            applied = self._applied(sending, reply) or await self.settle(sending, reply)
            if applied is not None:
                return applied
        raise BackendError("the server and this process do not agree on the model's indexes or on the time")

    def stamp(self, step: Step) -> Sending:
        """Make a step ready to be sent: apply.lua's arguments, with an operation token of its own."""
        if self._process != os.getpid():
            self._process, self._name = os.getpid(), os.urandom(6).hex().encode()
        operation = b"%b%x:" % (self._name, next(self._count))
        stamp = b"%d" % (int(time.time() * 1_000_000) + self._skew)
        answered: list[bytes] = []
        waiting = self._acknowledged.get(step.base)
        if waiting and len(waiting) >= _ACKNOWLEDGED_FROM:
            answered = [waiting.popleft() for _ in range(min(len(waiting), _ACKNOWLEDGED_PER_STEP))]
        return Sending(step, stamp, operation, step.args(stamp, operation, self._window, answered))

    async def settle(self, sending: Sending, reply: Any) -> Applied | None:
        """Read the script's answer. None: nothing was written, the obstacle is settled: stamp and send again."""
        code: bytes = reply[0]
        match code:
            case b"M":
                position: int = reply[1] - 1
                keyspace, partition = sending.step.models[position]
                await declare(self._transport(), keyspace, partition, writer=True)
                return None
            case b"X":
                self._skew = reply[1] - int(time.time() * 1_000_000)
                return None
            case b"O" if not self._asked:
                self._asked = True
                await warn_of_eviction(self._transport())
            case _:
                pass
        return self._applied(sending, reply)

    def _applied(self, sending: Sending, reply: Any) -> Applied | None:
        """What a step did; None when nothing was written, or something else is to be settled first."""
        step, code = sending.step, reply[0]
        if code == b"O" and self._asked:
            waiting = self._acknowledged.get(step.base)
            if waiting is None:
                waiting = self._acknowledged[step.base] = deque(maxlen=_ACKNOWLEDGED)
            if (answer := kept(reply)) is not None:
                token = sending.operation + answer
                waiting.append(WORD % (len(token), token))
            return step.applied(reply)
        return step.applied(reply) if code == b"F" else None

    async def bury(self, step: Step, failures: Sequence[Failure]) -> bool:
        """Look whether the owners of contested unique values are gone (deleted by another program); clean if so."""
        gone: list[Change] = []
        for failure in failures:
            if failure.code == "unique":
                keyspace = step.keyspace_of(failure)
                field, owner, token = failure.details
                gone.append((keyspace, look(owner, keyspace.tags, (field, token))))
        if not gone:
            return False
        applied = await self._send(Step(gone, each=True))
        return 1 in applied.results


_REFUSALS: Final = {
    "none": "is None and cannot be incremented: assign a number first",
    "bound": "would leave its bounds: nothing was changed",
    "nan": "would become NaN: nothing was changed",
    "number": "holds text that is not a number: repair the record",
    "long": "would have more than 256 digits, which no index finds: nothing was changed",
    "wide": "would need more than 4300 digits: nothing was changed",
}


def error_of(keyspace: Keyspace, failure: Failure) -> RedisomError:
    """The error a refused mutation stands for."""
    model = keyspace.schema.model
    match failure.code:
        case "exists":
            return AlreadyExistsError(
                f"{model}: a record with this key exists: save() replaces it, update() changes it",
                model=model,
            )
        case "missing":
            return NotFoundError(
                f"{model}: there is no record with this key (it was deleted, or its lifetime has ended)",
                model=model,
            )
        case "version":
            return ConflictError(
                f"{model}: the record has changed since it was read: refresh() and try again"
            )
        case "fading":
            field = failure.details[0].decode()
            return DeclarationError(
                f"{model}.{field} has a lifetime of its own, which this server cannot keep: "
                "use Redis 7.4, Valkey 9 or newer, or give the record a lifetime instead of the field"
            )
        case "unique":
            field = failure.details[0].decode()
            owner = keyspace.schema.key.codec.of_member(failure.details[1])
            return UniqueError(
                f"{model}.{field}: another record has this value: choose another, or change that record first",
                field=field,
                value_owner_pk=owner,
                model=model,
            )
        case code:
            field = failure.details[0].decode()
            return ConstraintError(f"{model}.{field} {_REFUSALS[code]}", field=field, model=model)
