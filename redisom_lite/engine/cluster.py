"""A cluster as one endpoint: each command goes to the primary of its key's slot.

The map of slots is the cluster's own answer to CLUSTER SLOTS, asked for on first use and again after any sign
that it is out of date: a redirection, a refusal, a broken connection. redis-py's cluster client is not used
here: its ASKING may travel on another connection than the command it is for, and its transactions lose
updates when a connection breaks.
"""

from __future__ import annotations

import asyncio
import random
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from redisom_lite.engine import failure
from redisom_lite.engine.address import HostPort
from redisom_lite.engine.node import Arg, Command, Endpoint, Lines
from redisom_lite.errors import BackendError, CrossSlotError, RedisomError, UnavailableError

SLOTS: Final = 16384
_REDIRECTIONS: Final = 5
_ASK_ONE_NODE: Final = 1.0

_KEY_AT: Final = {"OBJECT": 2, "MEMORY": 2, "XGROUP": 2, "XINFO": 2, "BITOP": 2}
_SCRIPTS: Final = frozenset({"EVALSHA", "EVAL", "EVALSHA_RO", "EVAL_RO", "FCALL", "FCALL_RO"})
_KEYLESS: Final = frozenset(
    {
        *("ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "ECHO", "FLUSHALL", "FLUSHDB", "INFO"),
        *("LASTSAVE", "LATENCY", "PING", "ROLE", "SAVE", "BGSAVE", "BGREWRITEAOF", "SCAN", "SCRIPT"),
        *("SLOWLOG", "TIME", "WAIT", "WAITAOF", "PUBLISH", "FUNCTION"),
    }
)


def slot_of(key: bytes) -> int:
    """The slot of a key: of what stands in its first pair of braces, if anything does."""
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def keys_of(command: Command) -> Sequence[Arg]:
    """The keys that decide where a command goes: those a script declares, else the first."""
    name = _text(command[0]).upper()
    if name in _SCRIPTS:
        return command[3 : 3 + int(command[2])]
    if name in _KEYLESS:
        return ()
    at = _KEY_AT.get(name, 1)
    return command[at : at + 1]


class Cluster:
    """The primaries of a cluster, each a server endpoint made by `open_server` when first needed."""

    follows = True

    def __init__(self, seeds: Sequence[HostPort], open_server: Callable[[HostPort], Endpoint]) -> None:
        self._seeds = seeds
        self._open_server = open_server
        self._servers: dict[HostPort, Endpoint] = {}
        self._slots: list[HostPort | None] = []
        self._stale = True
        self._asking = asyncio.Lock()
        self._now = asyncio.get_running_loop().time

    async def one(self, command: Command, deadline: float) -> Any:
        where = await self._primary_of(_slot(command), deadline)
        return await self._follow(command, where, deadline)

    async def everywhere(self, command: Command, deadline: float) -> list[Any]:
        await self._primary_of(None, deadline)
        places = dict.fromkeys(filter(None, self._slots))
        shares = await asyncio.gather(*(self._send([command], place, deadline) for place in places))
        return [reply for (reply,) in shares]

    async def behind(self, first: Command, command: Command, deadline: float) -> tuple[list[Any], Any]:
        try:
            taken = await self.everywhere(first, deadline)
        except RedisomError as error:
            taken = [error]
        return taken, await self.one(command, deadline)

    async def many(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Each server gets its share in one go, all at once; what was redirected follows."""
        places = [await self._primary_of(_slot(command), deadline) for command in commands]
        shares = {place: [i for i, at in enumerate(places) if at == place] for place in places}
        done = await asyncio.gather(
            *(self._share(commands, share, place, deadline) for place, share in shares.items()),
            return_exceptions=True,
        )
        failures = [answer for answer in done if isinstance(answer, BaseException)]
        if failures:
            raise _of_all(failures, untouched=len(failures) == len(done))
        replies: dict[int, Any] = {}
        for share, answer in zip(shares.values(), done, strict=True):
            replies |= zip(share, cast("list[Any]", answer), strict=True)
        return [replies[i] for i in range(len(commands))]

    async def _share(
        self, commands: Sequence[Command], share: list[int], where: HostPort, deadline: float
    ) -> list[Any]:
        replies = await self._send([commands[i] for i in share], where, deadline)
        for at, reply in enumerate(replies):
            if _redirection(reply):
                replies[at] = await self._follow(commands[share[at]], where, deadline, reply)
        return replies

    async def _follow(self, command: Command, where: HostPort, deadline: float, reply: Any = None) -> Any:
        """Send a command and go where it is sent on to: for good by MOVED, this once by ASK."""
        asking: list[Command] = []
        for _ in range(_REDIRECTIONS):
            if reply is None:
                *_, reply = await self._send([*asking, command], where, deadline)
            redirection = _redirection(reply)
            if redirection is None:
                return reply
            slot, moved_to, for_good = redirection
            where = (moved_to[0] or where[0], moved_to[1])
            if for_good:
                self._stale = True
                if self._slots:
                    self._slots[slot] = where
            asking, reply = ([] if for_good else [(b"ASKING",)]), None
        raise UnavailableError("the cluster sends a command from node to node: its slots are in disorder")

    async def _send(self, commands: Sequence[Command], where: HostPort, deadline: float) -> list[Any]:
        try:
            replies = await self._server(where).many(commands, deadline)
        except RedisomError:
            self._stale = True
            raise
        self._stale |= any(
            isinstance(reply, RedisomError) and failure.is_transient(reply) for reply in replies
        )
        return replies

    def _server(self, where: HostPort) -> Endpoint:
        server = self._servers.get(where)
        if server is None:
            server = self._servers[where] = self._open_server(where)
        return server

    async def lines(self, key: bytes | None, deadline: float) -> Lines:
        slot = None if key is None else slot_of(key)
        return await self._server(await self._primary_of(slot, deadline)).lines(key, deadline)

    def drop(self) -> None:
        self._stale = True

    async def _primary_of(self, slot: int | None, deadline: float) -> HostPort:
        """Where a slot's primary is; any primary for None."""
        if self._stale:
            await self._refresh(deadline)
        where = self._slots[slot] if slot is not None else next(filter(None, self._slots), None)
        if where is None:
            self._stale = True
            raise UnavailableError("a slot of the cluster has no primary (CLUSTERDOWN)")
        return where

    async def _refresh(self, deadline: float) -> None:
        """Ask for the map of slots: one caller does, the others wait for it."""
        try:
            async with asyncio.timeout_at(deadline), self._asking:
                if self._stale:
                    await self._ask_for_slots(deadline)
        except TimeoutError as error:
            raise failure.timed_out("the cluster", "none", error) from error

    async def _ask_for_slots(self, deadline: float) -> None:
        known = random.sample(list(self._servers), len(self._servers))
        failed: RedisomError = UnavailableError("no node of the cluster answers")
        for where in dict.fromkeys((*known, *self._seeds)):
            try:
                reply = await self._server(where).one(
                    (b"CLUSTER", b"SLOTS"), min(deadline, self._now() + _ASK_ONE_NODE)
                )
                if isinstance(reply, RedisomError):
                    raise reply
            except RedisomError as error:
                failed = error
                continue
            self._learn(reply, where)
            return
        if isinstance(failed, BackendError):
            failed.outcome = "none"  # what was asked for has not been sent
        raise failed

    def _learn(self, reply: list[Any], asked: HostPort) -> None:
        """Take over a map of slots; servers that are no primaries any more finish what they have."""
        slots: list[HostPort | None] = [None] * SLOTS
        for first, last, (host, port, *_), *_replicas in reply:
            # A node that does not know its own name leaves it out: it is where it was asked.
            where = (_text(host or b"") or asked[0], int(port))
            slots[first : last + 1] = [where] * (last + 1 - first)
        self._slots, self._stale = slots, False
        primaries = set(slots)
        for where in [where for where in self._servers if where not in primaries]:
            self._servers.pop(where).drop()

    async def aclose(self, grace: float) -> None:
        await asyncio.gather(*(server.aclose(grace) for server in self._servers.values()))

    def abandon(self) -> None:
        for server in self._servers.values():
            server.abandon()


def _slot(command: Command) -> int | None:
    slots = {slot_of(key if isinstance(key, bytes) else str(key).encode()) for key in keys_of(command)}
    if len(slots) > 1:
        raise CrossSlotError("the keys of one step lie in different cluster slots; nothing was sent")
    return slots.pop() if slots else None


def _of_all(failures: Sequence[BaseException], *, untouched: bool) -> BaseException:
    """The failure of a step of which some servers may have done their share."""
    first = failures[0]
    none = untouched and all(isinstance(it, BackendError) and it.outcome == "none" for it in failures)
    if isinstance(first, BackendError) and not none:
        first.outcome = "unknown"
    return first


def _redirection(reply: Any) -> tuple[int, HostPort, bool] | None:
    """Slot, place, and whether for good, if a reply is `MOVED slot host:port` or `ASK slot host:port`."""
    if not isinstance(reply, BackendError) or reply.code not in ("MOVED", "ASK"):
        return None
    *_, slot, place = str(reply.__cause__).split()  # redis-py leaves out the first word
    host, _, port = place.rpartition(":")
    return int(slot), (host, int(port)), reply.code == "MOVED"


def _text(word: Arg) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)
