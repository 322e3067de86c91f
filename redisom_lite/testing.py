"""For the tests of programs that use the library: a pytest plugin, and what it is made of.

    isolate      an empty database of its own for each test, in this process, without a server
    round_trips  how many calls a piece of code makes
    faults       calls that fail, before or after they took effect

With the package installed, pytest knows the fixtures of the same names; without pytest, use the context managers.
What `memory://` cannot show (races, expiry to the millisecond, a full server) needs a real server:
`isolate(db, "embedded://")`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import pytest

from redisom_lite.engine.node import Arg, Command
from redisom_lite.engine.scripts import Script
from redisom_lite.engine.store import Store
from redisom_lite.engine.transport import Session, Transport
from redisom_lite.errors import BackendError, UnavailableError


@dataclass(slots=True)
class RoundTrips:
    """Calls made, and their names: a script's name, or a command's first word."""

    names: list[str] = field(default_factory=list[str])

    @property
    def count(self) -> int:
        return len(self.names)


@dataclass(slots=True)
class Faults:
    """Calls to come that fail: the next `times` of them, after the first `skip`.

    `moment`: "before" the call reaches the server (outcome "none"), or "after" it took effect there (outcome
    "unknown").
    """

    times: int = 1
    skip: int = 0
    moment: Literal["before", "after"] = "before"
    error: type[BackendError] = UnavailableError
    raised: int = 0

    def due(self) -> bool:
        """Whether this call is one that fails."""
        if self.skip:
            self.skip -= 1
            return False
        if not self.times:
            return False
        self.times -= 1
        return True


class _Between:
    """A transport that tells its watcher of every call."""

    def __init__(self, inner: Transport, watch: Callable[[str], AbstractAsyncContextManager[None]]) -> None:
        self._inner = inner
        self._watch = watch

    async def call(self, script: Script, keys: Sequence[bytes], args: Sequence[Arg]) -> Any:
        async with self._watch(script.name):
            return await self._inner.call(script, keys, args)

    async def head(self, script: Script) -> tuple[bytes, bytes]:
        return await self._inner.head(script)

    def refused(self, script: Script, code: str) -> None:
        self._inner.refused(script, code)

    async def commands(self, commands: Sequence[Command], *, retry: bool = False) -> list[Any]:
        word = commands[0][0] if commands else b""
        async with self._watch(word.decode() if isinstance(word, bytes) else str(word)):
            return await self._inner.commands(commands, retry=retry)

    def session(self, key: bytes | None = None) -> AbstractAsyncContextManager[Session]:
        return self._inner.session(key)

    async def aclose(self, grace: float = 1.0) -> None:
        await self._inner.aclose(grace)

    def abandon(self) -> None:
        self._inner.abandon()


@contextmanager
def isolate(db: Store, url: str | None = None) -> Generator[None]:
    """Let `db` be an empty database of its own for a while: `memory://`, or what `url` says."""
    with db.override(url or f"memory://{uuid4().hex}"):
        yield


@contextmanager
def round_trips(db: Store) -> Generator[RoundTrips]:
    """Count the calls to the server: `with round_trips(db) as trips: ...; assert trips.count == 1`.

    What a transaction sends on its own connection is not counted.
    """
    trips = RoundTrips()

    @asynccontextmanager
    async def watch(name: str) -> AsyncGenerator[None]:
        trips.names.append(name)
        yield

    with _between(db, watch):
        yield trips


@contextmanager
def faults(
    db: Store,
    *,
    times: int = 1,
    skip: int = 0,
    moment: Literal["before", "after"] = "before",
    error: type[BackendError] = UnavailableError,
) -> Generator[Faults]:
    """Make calls to the server fail; see `Faults`."""
    plan = Faults(times, skip, moment, error)

    @asynccontextmanager
    async def watch(name: str) -> AsyncGenerator[None]:
        due = plan.due()
        if due and plan.moment == "before":
            plan.raised += 1
            raise plan.error(f"injected before {name}", outcome="none")
        yield
        if due:
            plan.raised += 1
            raise plan.error(f"injected after {name}", outcome="unknown")

    with _between(db, watch):
        yield plan


@contextmanager
def _between(db: Store, watch: Callable[[str], AbstractAsyncContextManager[None]]) -> Generator[None]:
    backend = db.backend
    outer = backend.between

    def between(transport: Transport) -> Transport:
        return _Between(transport if outer is None else outer(transport), watch)

    backend.between = between
    try:
        yield
    finally:
        backend.between = outer


@pytest.fixture(name="isolate")
def isolate_fixture() -> Generator[Callable[..., None]]:
    """`isolate(db)`: an empty database of its own until the test ends."""
    with ExitStack() as stack:

        def enter(db: Store, url: str | None = None) -> None:
            stack.enter_context(isolate(db, url))

        yield enter


@pytest.fixture(name="round_trips")
def round_trips_fixture() -> Callable[[Store], Any]:
    """`with round_trips(db) as trips:` counts calls."""
    return round_trips


@pytest.fixture(name="faults")
def faults_fixture() -> Callable[..., Any]:
    """`with faults(db, times=1, moment="after"):` makes calls fail."""
    return faults
