"""One connection for many callers: what makes the hot path quick.

A command through redis-py costs 40 to 50 us of Python, most of it in layers that serve one caller at a time.
Here the commands of one event-loop turn leave in one write, and replies are parsed in bulk and handed to
their callers in order.

    call ─┐             ┌─ waiting: not yet written ─┐  flush    ┌─ sent: replies owed, in order ─┐
    call ─┼> Wire.send ─┤                            ├─────────> │                                │ <─ socket
    call ─┘             └────────────────────────────┘ per turn  └────────────────────────────────┘

redis-py opens the connection: URL, TLS, credentials, SELECT, the search for a sentinel's primary. Its stream
is then taken away from it by `transport.set_protocol`, which asyncio, its TLS layer and uvloop all support.
Opening a socket of our own would repeat all that; keeping the stream would keep its cost.

Rules:
- Replies match calls by order alone. A cancelled caller's entry stays, and its reply is read and dropped;
  if it was not written yet, it never is.
- Whatever goes wrong with a connection ends it (`_break`), once: what was written fails with outcome
  `"unknown"`, what was not with `"none"`. Nothing is repeated here.
- Back-pressure: nothing is written while the transport asks for a pause or too much is unanswered; calls
  wait in order.
- Time: one timer per connection, set for the earliest deadline. A written call that is late ends the
  connection, as its reply would keep all others waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import Context
from itertools import chain
from math import inf, isinf
from typing import Any, Final

from redisom_lite.engine import failure
from redisom_lite.engine.connection import close_without_loop, detach
from redisom_lite.engine.node import Command
from redisom_lite.engine.resp import INCOMPLETE, pack_all, reader
from redisom_lite.errors import Outcome

_READ_BUFFER: Final = 64 * 1024
_WRITE_AT_ONCE: Final = 256 * 1024
_UNANSWERED: Final = 8 * 1024 * 1024


class _Call(asyncio.Future[Any]):
    """What one caller waits for: `want` replies, as a list, or one reply as it is when `want` is 0."""

    __slots__ = ("_waiter", "deadline", "payload", "replies", "size", "want")

    def __init__(self, loop: asyncio.AbstractEventLoop, payload: bytes, want: int, deadline: float) -> None:
        super().__init__(loop=loop)
        self.payload = payload
        self.size = len(payload)
        self.want = want
        self.replies: list[Any] = []
        self.deadline = deadline
        self._waiter: tuple[Callable[[Any], object], Context] | None = None

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        super().add_done_callback(fn, context=context)
        if context is not None:  # so a task waits
            self._waiter = (fn, context)

    def answer(self, reply: Any, *, at_once: bool = False) -> None:
        """Give the reply to who still waits; with `at_once` the task runs now, not in another turn of the event loop.

        That is for a callback of the event loop: within a task no other can run.
        """
        if self.done():
            return
        waiter = self._waiter if at_once else None
        if waiter is None:
            self.set_result(reply)
            return
        resume, context = waiter
        self.remove_done_callback(resume)
        self.set_result(reply)
        context.run(resume, self)


class Wire(asyncio.BufferedProtocol):
    """One connection, driven by callbacks of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, where: str) -> None:
        self._loop = loop
        self._where = where
        self._transport: Any = None
        self._stream: Any = None
        self._reader = reader()
        self._buffer = bytearray(_READ_BUFFER)
        # A view, as asyncio's TLS layer fills slices of it: one of a bytearray would be a copy.
        self._view = memoryview(self._buffer)
        self._waiting: deque[_Call] = deque()
        self._sent: deque[_Call] = deque()
        self._unanswered = 0
        self._flush_due = False
        self._paused = False
        self._retired = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self.open = True
        self.heard_at = loop.time()
        self.gone: asyncio.Future[None] = loop.create_future()
        """Done when the socket is closed."""

    def take_over(self, connection: Any) -> None:
        """Drive the socket of a connected redis-py connection from here on."""
        stream = connection._reader
        # The stream writer is kept: collected, it would close the transport.
        self._stream = detach(connection)
        self._transport = self._stream.transport
        self._transport.pause_reading()  # uvloop looks at the protocol's kind only when it starts to read
        self._transport.set_protocol(self)
        self._transport.set_write_buffer_limits(high=_WRITE_AT_ONCE)
        self._transport.resume_reading()
        if stream._buffer or stream.at_eof():  # nothing was asked for that is not answered
            self._break(ConnectionResetError("closed by the server"))

    # The callers' side

    def send(self, payload: bytes, want: int, deadline: float) -> asyncio.Future[Any]:
        """Queue packed commands; the future gives their replies, or fails with an error of the library."""
        call = _Call(self._loop, payload, want, deadline)
        if deadline < self._timer_at:
            self._set_timer(deadline)
        if self._sent or self._waiting or self._paused:
            self._waiting.append(call)
            if not self._flush_due:
                self._flush_due = True
                self._loop.call_soon(self._flush)
            return call
        # a lone caller need not wait for the turn to end
        call.payload = b""
        self._sent.append(call)
        self._unanswered += call.size
        try:
            self._transport.write(payload)
        except Exception as error:  # a transport that vanished under us says so in many ways
            self._break(error)
        return call

    @property
    def clean(self) -> bool:
        return self.open and not self._sent and not self._waiting

    def exchange(self, commands: Sequence[Command], deadline: float) -> Awaitable[list[Any]]:
        if not self.open:
            raise failure.lost(self._where, "none", None)
        return self.send(pack_all(commands), len(commands), deadline)

    # The socket's side

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self.heard_at = self._loop.time()
        answered: list[tuple[_Call, Any]] = []
        try:
            self._match(nbytes, answered)
        except Exception as error:  # no RESP, or a reply to nothing: this connection makes no sense any more
            self._break(error)
        if self._waiting and not self._flush_due:
            self._flush()
        if self._retired and self.clean:
            self.close()
        # not before: who is answered may call again at once, and must not be given a reply that was here already
        self._answer(iter(answered))

    def _match(self, nbytes: int, answered: list[tuple[_Call, Any]]) -> None:
        """Parse what has arrived, and take the calls it answers off `sent`."""
        self._reader.feed(self._buffer, 0, nbytes)
        gets, sent = self._reader.gets, self._sent
        while (reply := gets()) is not INCOMPLETE:
            call = sent[0]
            if call.want:
                call.replies.append(reply)
                if len(call.replies) < call.want:
                    continue
                reply = call.replies
            sent.popleft()
            self._unanswered -= call.size
            answered.append((call, reply))

    def _answer(self, answered: Iterator[tuple[_Call, Any]]) -> None:
        try:
            if asyncio.current_task(self._loop) is None:
                for call, reply in answered:
                    call.answer(reply, at_once=True)
        finally:  # a task may end the program
            for call, reply in answered:
                call.answer(reply)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def eof_received(self) -> None:
        self._break(ConnectionResetError("closed by the server"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(exc or ConnectionResetError("closed"))
        if not self.gone.done():
            self.gone.set_result(None)

    def _flush(self) -> None:
        self._flush_due = False
        waiting = self._waiting
        try:
            while waiting and not self._paused and self._unanswered < _UNANSWERED:
                if chunk := self._next_chunk():
                    self._transport.write(chunk)
        except Exception as error:  # a transport that vanished under us says so in many ways
            self._break(error)

    def _next_chunk(self) -> bytes:
        """Move calls from `waiting` to `sent`; return their bytes."""
        waiting, sent = self._waiting, self._sent
        payloads: list[bytes] = []
        size = 0
        while waiting and size < _WRITE_AT_ONCE:
            call = waiting.popleft()
            if call.done():
                continue
            sent.append(call)
            payloads.append(call.payload)
            size += call.size
            call.payload = b""
        self._unanswered += size
        return b"".join(payloads)

    # Time

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = None if isinf(at) else self._loop.call_at(at, self._check_deadlines)

    def _check_deadlines(self) -> None:
        now = self._loop.time()
        if any(call.deadline <= now for call in self._sent):
            self._break(TimeoutError("another call's answer is late"))
            return
        for call in self._waiting:
            if call.deadline <= now and not call.done():
                call.set_exception(failure.timed_out(self._where, "none"))
        late = (call.deadline for call in self._waiting if not call.done())
        self._set_timer(min(chain((call.deadline for call in self._sent), late), default=inf))

    # The end

    def retire(self) -> None:
        """Take no further call; close when those under way have their replies."""
        self._retired = True
        if self.clean:
            self.close()

    def close(self) -> None:
        self._break(ConnectionAbortedError("closed by this program"))

    def abandon(self) -> None:
        self.open = False
        close_without_loop(self._transport)

    def _break(self, cause: Exception) -> None:
        """End the connection: now, once, and with it every call."""
        if not self.open:
            return
        self.open = False
        self._set_timer(inf)
        with suppress(Exception):  # whatever a broken transport says
            self._transport.abort()
        now = self._loop.time()
        while self._sent:
            self._fail(self._sent.popleft(), "unknown", cause, now)
        while self._waiting:
            self._fail(self._waiting.popleft(), "none", cause, now)

    def _fail(self, call: _Call, outcome: Outcome, cause: Exception, now: float) -> None:
        if call.done():
            return
        late = call.deadline <= now
        error = (failure.timed_out if late else failure.lost)(self._where, outcome, cause)
        call.set_exception(error)
