"""The seam: everything the mapper sends to a server goes through a `Transport`.

    call      run a script                    repeated after a lost connection, until the step's deadline
    commands  several commands, one reply each                      repeated only where the caller allows it
    session   a connection of one's own: WATCH, MULTI, EXEC, blocking commands                never repeated

Time: a step, its waiting and its repetitions included, has `timeout` seconds. Repeating a script is safe
because reads are pure and writes carry an operation token; what the token answers is the executor's affair.

Failures: only errors of the library leave, and `asyncio.CancelledError` when the caller was cancelled.
`outcome` is `"unknown"` as soon as any attempt may have reached the server.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Protocol

from redisom_lite.engine import failure
from redisom_lite.engine.functions import Functions, Head, Offer
from redisom_lite.engine.node import Arg, Command, Endpoint, LineSession
from redisom_lite.engine.resp import evaluation
from redisom_lite.engine.scripts import Script
from redisom_lite.errors import BackendError, BackendTimeoutError, ReadOnlyError, RedisomError

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.5
_LOOK_EVERY: Final = 0.002


class Session(Protocol):
    """A connection for one caller."""

    async def send(self, *args: Arg, timeout: float | None = None) -> Any:
        """Send one command and return its reply; an error reply is raised.

        `timeout`, in seconds, replaces the step's; `math.inf` waits for ever (blocking commands).
        """
        ...

    async def send_many(self, commands: Sequence[Command], *, timeout: float | None = None) -> list[Any]:
        """Send commands in one round trip; error replies come back in place, as errors."""
        ...


class Transport(Protocol):
    """The way to a server or a cluster, within one event loop."""

    async def call(self, script: Script, keys: Sequence[bytes], args: Sequence[Arg]) -> Any:
        """Run a script that may run twice.

        Redis: FCALL where the server keeps it as a function, else EVALSHA, and EVAL when it does not have it.

        Raises:
            BackendError: by kind; after the deadline `UnavailableError` or `BackendTimeoutError`.
            CrossSlotError: the keys lie in different slots of a cluster; nothing was sent.
        """
        ...

    async def head(self, script: Script) -> Head:
        """How `call` would begin now, for who runs the script in a session: EVALSHA, or FCALL if it is kept.

        Redis: FUNCTION LOAD, once.
        """
        ...

    def refused(self, script: Script, code: str) -> None:
        """Take note that FCALL was refused in a session: `code` is NOFUNCTION or NOPERM."""
        ...

    async def commands(self, commands: Sequence[Command], *, retry: bool = False) -> list[Any]:
        """Send commands in one round trip, outside MULTI; error replies come back in place, as errors.

        `retry` says that all of them may be sent twice. Raises only when the connection fails.
        """
        ...

    def session(self, key: bytes | None = None) -> AbstractAsyncContextManager[Session]:
        """Lend a connection, on a cluster to the primary of `key`'s slot.

        When it breaks, commands raise `UnavailableError`. Left while watching or queueing, it is closed.
        """
        ...

    async def aclose(self, grace: float = 1.0) -> None:
        """Close the connections; what is under way has `grace` seconds to finish."""
        ...

    def abandon(self) -> None:
        """Close the sockets without the event loop, which is closed."""
        ...


class StepTransport:
    """The transport to any endpoint: repeats steps, and lends lines.

    With `functions` the servers are offered to keep scripts as functions.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float, functions: bool = False) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._functions = Functions(offers=functions)
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._under_way = 0

    async def call(self, script: Script, keys: Sequence[bytes], args: Sequence[Arg]) -> Any:
        deadline = self._now() + self._timeout
        offer = self._functions.offer(script)
        head = self._functions.head(script) if offer is None else offer.head
        command = evaluation(head, keys, args)
        self._under_way += 1
        try:
            try:
                if offer is None:
                    reply = await self._endpoint.one(command, deadline)
                else:
                    reply = await self._offer(offer, script, command, deadline)
            except RedisomError as error:
                reply = error
            if isinstance(reply, RedisomError):
                return await self._call_again(script, command, reply, deadline)
            return reply
        finally:
            self._under_way -= 1

    async def _offer(self, offer: Offer, script: Script, command: Command, deadline: float) -> Any:
        try:
            taken, reply = await self._endpoint.behind(offer.command, command, deadline)
        except (RedisomError, asyncio.CancelledError) as error:
            self._functions.note(script, error)
            raise
        self._functions.note(script, taken)
        return reply

    async def head(self, script: Script) -> Head:
        offer = self._functions.offer(script)
        if offer is not None:
            try:
                taken = await self._endpoint.everywhere(offer.command, self._now() + self._timeout)
            except (RedisomError, asyncio.CancelledError) as error:
                self._functions.note(script, error)
                if isinstance(error, asyncio.CancelledError):
                    raise
            else:
                self._functions.note(script, taken)
        return self._functions.head(script)

    def refused(self, script: Script, code: str) -> None:
        self._functions.refused(script, code)

    async def _call_again(
        self, script: Script, command: Command, failed: RedisomError, deadline: float
    ) -> Any:
        attempts = _Attempts(deadline, self._now)
        while True:
            other = self._functions.other_form(script, command, failed)
            if other is None:
                await self._pause(attempts, failed)
            else:
                command = other
            try:
                reply = await self._endpoint.one(command, deadline)
            except RedisomError as error:
                reply = error
            if not isinstance(reply, RedisomError):
                return reply
            failed = attempts.note(reply)

    async def commands(self, commands: Sequence[Command], *, retry: bool = False) -> list[Any]:
        if not commands:
            return []
        deadline = self._now() + self._timeout
        replies: list[Any] = []
        self._under_way += 1
        try:
            try:
                replies = await self._endpoint.many(commands, deadline)
                failed = _first_transient(replies) if retry else None
            except RedisomError as error:
                failed = error
            if failed is None:
                return replies
            return await self._commands_again(commands, replies, failed, deadline, retry=retry)
        finally:
            self._under_way -= 1

    async def _commands_again(
        self,
        commands: Sequence[Command],
        replies: list[Any],
        failed: RedisomError,
        deadline: float,
        *,
        retry: bool,
    ) -> list[Any]:
        """Repeat what failed, or was refused for the moment (`replies`)."""
        attempts = _Attempts(deadline, self._now)
        while True:
            if not replies:
                attempts.note(failed)
                if not retry and attempts.reached_server:
                    raise failed from failed.__cause__
            try:
                await self._pause(attempts, failed)
            except RedisomError:
                if replies:
                    return replies
                raise
            replies = []
            try:
                replies = await self._endpoint.many(commands, deadline)
                again = _first_transient(replies) if retry else None
            except RedisomError as error:
                again = error
            if again is None:
                return replies
            failed = again

    async def _pause(self, attempts: _Attempts, failed: RedisomError) -> None:
        """Wait before the next attempt, or raise if there is to be none.

        A replica refuses to write during a failover, which ends where another server can be found. Elsewhere
        a new connection is tried once, as a host name may lead to another server by now.
        """
        if isinstance(failed, ReadOnlyError) and (self._endpoint.follows or attempts.count == 0):
            self._endpoint.drop()
        elif not failure.is_transient(failed):
            raise attempts.last(failed)
        await attempts.pause(failed)

    @asynccontextmanager
    async def session(self, key: bytes | None = None) -> AsyncGenerator[Session]:
        deadline = self._now() + self._timeout
        attempts = _Attempts(deadline, self._now)
        while True:
            try:
                lines = await self._endpoint.lines(key, deadline)
                line = await lines.take(deadline)
                break
            except RedisomError as error:
                await self._pause(attempts, attempts.note(error))
        session = LineSession(line, self._timeout)
        try:
            yield session
        finally:
            session.leave()
            lines.give_back(line)
            if session.misled:
                self._endpoint.drop()

    async def aclose(self, grace: float = 1.0) -> None:
        till = self._now() + grace
        # a step may be between two attempts; an event would cost every call
        while self._under_way and self._now() < till:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY)
        await self._endpoint.aclose(max(0.0, till - self._now()))

    def abandon(self) -> None:
        self._endpoint.abandon()


class _Attempts:
    """Counts the attempts at one step and spaces them: at once, then doubling pauses with full jitter."""

    def __init__(self, deadline: float, now: Callable[[], float]) -> None:
        self._deadline = deadline
        self._now = now
        self.count = 0
        self.reached_server = False
        self._reason: RedisomError | None = None

    def note(self, failed: RedisomError) -> RedisomError:
        """Remember whether this attempt may have had an effect, and why it failed."""
        self.reached_server |= isinstance(failed, BackendError) and failed.outcome == "unknown"
        if not isinstance(failed, BackendTimeoutError):
            self._reason = failed
        return failed

    def last(self, failed: RedisomError) -> RedisomError:
        """What the caller gets: the last failure, with the outcome of all attempts."""
        self.note(failed)
        if isinstance(failed, BackendTimeoutError) and failed.outcome == "none" and self._reason is not None:
            failed = self._reason  # it says more than that time is up
        if self.reached_server and isinstance(failed, BackendError):
            failed.outcome = "unknown"
        return failed

    async def pause(self, failed: RedisomError) -> None:
        """Wait; raise if that would take until the deadline."""
        longest = min(_FIRST_PAUSE * 2**self.count, _LONGEST_PAUSE)
        pause = random.uniform(0, longest) if self.count else 0.0
        self.count += 1
        if self._now() + pause >= self._deadline:
            raise self.last(failed)
        self.note(failed)
        await asyncio.sleep(pause)


def _first_transient(replies: Sequence[Any]) -> RedisomError | None:
    """The first refusal that a little later would not be one."""
    for reply in replies:
        if isinstance(reply, RedisomError) and failure.is_transient(reply):
            return reply
    return None
