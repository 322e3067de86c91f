"""Writers that go one command at a time, in an order that is chosen: every race there can be, one after the other.

    stage = Stage(db)
    for schedule in every_schedule(lambda choose: stage.play(writers, choose)): ...

Each writer is a task of its own. Where it would send a command to the server it is held up until the schedule lets it
go on; the next is chosen when it is held up again, or has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from redisom_lite import Database
from redisom_lite.engine.transport import Session, Transport

Writer = Callable[[], Awaitable[None]]
Choose = Callable[[int], int]
"""Which of so many writers, all held up, goes on."""
Choice = tuple[int, int]
"""Which was chosen, of how many."""


@dataclass(eq=False)
class _Actor:
    held: asyncio.Future[None] | None = None
    ended: bool = False


_actor: ContextVar[_Actor | None] = ContextVar("actor", default=None)


@dataclass
class Stage:
    """Where writers of `db` play."""

    db: Database
    commands: int = 0
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.db.backend.between = lambda transport: _Gate(transport, self)

    async def play(self, writers: Sequence[Writer], choose: Choose) -> list[Choice]:
        """Let the writers play to their ends; what was chosen, step by step, where there was a choice."""
        actors = [_Actor() for _ in writers]
        tasks = [asyncio.create_task(self._act(*each)) for each in zip(actors, writers, strict=True)]
        chosen: list[Choice] = []
        while held := await self._settled(actors):
            number = choose(len(held)) if len(held) > 1 else 0
            if len(held) > 1:
                chosen.append((number, len(held)))
            on, held[number].held = held[number].held, None
            assert on is not None
            self.commands += 1
            on.set_result(None)
        await asyncio.gather(*tasks)
        return chosen

    async def _act(self, actor: _Actor, writer: Writer) -> None:
        _actor.set(actor)
        try:
            await writer()
        finally:
            actor.ended = True
            self._moved.set()

    async def _settled(self, actors: Sequence[_Actor]) -> list[_Actor]:
        """Those who are held up, when no one is on the way any more."""
        while any(actor.held is None and not actor.ended for actor in actors):
            self._moved.clear()
            await self._moved.wait()
        return [actor for actor in actors if actor.held is not None]

    async def hold(self) -> None:
        actor = _actor.get()
        if actor is not None:
            assert actor.held is None, "a writer sends one command at a time"
            actor.held = asyncio.get_running_loop().create_future()
            self._moved.set()
            await actor.held


class _Gate:
    """A transport that holds up whoever plays."""

    def __init__(self, inner: Transport, stage: Stage) -> None:
        self._inner = inner
        self._stage = stage

    async def call(self, *args: Any) -> Any:
        await self._stage.hold()
        return await self._inner.call(*args)

    async def head(self, script: Any) -> Any:
        return await self._inner.head(script)

    def refused(self, script: Any, code: str) -> None:
        self._inner.refused(script, code)

    async def commands(self, commands: Any, *, retry: bool = False) -> list[Any]:
        await self._stage.hold()
        return await self._inner.commands(commands, retry=retry)

    @asynccontextmanager
    async def session(self, key: bytes | None = None) -> AsyncGenerator[Session]:
        async with self._inner.session(key) as session:
            yield _GatedSession(session, self._stage)

    async def aclose(self, grace: float = 1.0) -> None:
        await self._inner.aclose(grace)

    def abandon(self) -> None:
        self._inner.abandon()


class _GatedSession:
    def __init__(self, inner: Session, stage: Stage) -> None:
        self._inner = inner
        self._stage = stage

    async def send(self, *args: Any, timeout: float | None = None) -> Any:
        await self._stage.hold()
        return await self._inner.send(*args, timeout=timeout)

    async def send_many(self, commands: Any, *, timeout: float | None = None) -> list[Any]:
        await self._stage.hold()
        return await self._inner.send_many(commands, timeout=timeout)


async def every_schedule(play: Callable[[Choose], Awaitable[list[Choice]]]) -> AsyncIterator[list[int]]:
    """Play every schedule there is, depth first; each, once it is over."""
    begin: list[int] = []
    while True:
        ahead = iter(begin)
        chosen = await play(lambda _, ahead=ahead: next(ahead, 0))
        yield [number for number, _ in chosen]
        while chosen and chosen[-1][0] == chosen[-1][1] - 1:
            chosen.pop()
        if not chosen:
            return
        begin = [number for number, _ in chosen[:-1]] + [chosen[-1][0] + 1]
