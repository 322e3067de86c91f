"""Repeating steps: which failures, how often, and what outcome the caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from redisom_lite.engine import failure
from redisom_lite.engine.node import Arg, Command, Lines
from redisom_lite.engine.scripts import from_text
from redisom_lite.engine.transport import StepTransport
from redisom_lite.errors import (
    BackendError,
    BackendTimeoutError,
    Outcome,
    OutOfMemoryError,
    ReadOnlyError,
    UnavailableError,
)

SCRIPT = from_text("t", b"return 1")


class Endpoint:
    """Does as it is bid: answers from a list, the last answer for ever."""

    def __init__(self, *answers: Any, follows: bool = False) -> None:
        self.answers = list(answers)
        self.follows = follows
        self.sent: list[Command] = []
        self.dropped = 0

    async def one(self, command: tuple[Arg, ...], deadline: float) -> Any:
        self.sent.append(command)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Raised):
            raise answer.error()
        return answer() if callable(answer) else answer

    async def many(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        return [await self.one(tuple(command), deadline) for command in commands]

    async def everywhere(self, command: Command, deadline: float) -> list[Any]:
        return await self.many([command], deadline)

    async def behind(self, first: Command, command: Command, deadline: float) -> tuple[list[Any], Any]:
        taken, reply = await self.many([first, command], deadline)
        return [taken], reply

    async def lines(self, key: bytes | None, deadline: float) -> Lines:
        raise NotImplementedError

    def drop(self) -> None:
        self.dropped += 1

    async def aclose(self, grace: float) -> None: ...

    def abandon(self) -> None: ...


class Raised:
    def __init__(self, outcome: Outcome, kind: type[BackendError] = UnavailableError) -> None:
        self.outcome, self.kind = outcome, kind

    def error(self) -> BackendError:
        return self.kind("m", outcome=self.outcome)


def refused(text: str) -> Any:
    return lambda: failure.from_reply(text)


async def call(endpoint: Endpoint, timeout: float = 1) -> Any:
    return await StepTransport(endpoint, timeout=timeout).call(SCRIPT, [b"k"], ["v"])


@pytest.mark.parametrize(
    "first",
    [
        Raised("unknown"),
        Raised("none"),
        Raised("none", BackendTimeoutError),
        refused("LOADING x"),
        refused("TRYAGAIN x"),
        refused("CLUSTERDOWN x"),
    ],
)
async def test_call_that_failed_for_the_moment_is_repeated(first: Any) -> None:
    endpoint = Endpoint(first, first, b"fine")
    assert await call(endpoint, 2) == b"fine"
    assert len(endpoint.sent) == 3


async def test_call_of_an_unknown_script_sends_its_text_from_then_on() -> None:
    endpoint = Endpoint(refused("NOSCRIPT x"), Raised("unknown"), b"fine")
    assert await call(endpoint) == b"fine"
    assert [command[0] for command in endpoint.sent] == [b"EVALSHA", b"EVAL", b"EVAL"]
    assert endpoint.sent[1] == (b"EVAL", b"return 1", 1, b"k", "v")


async def test_call_refused_for_good_is_not_repeated() -> None:
    endpoint = Endpoint(refused("OOM x"))
    with pytest.raises(OutOfMemoryError):
        await call(endpoint)
    assert len(endpoint.sent) == 1


async def test_call_that_runs_out_of_time_while_connecting_tells_why_it_could_not_before() -> None:
    endpoint = Endpoint(Raised("none"), Raised("none", BackendTimeoutError))
    with pytest.raises(UnavailableError) as caught:
        await StepTransport(endpoint, timeout=5).call(SCRIPT, [b"k"], [])
    assert caught.value.outcome == "none"
    endpoint = Endpoint(Raised("unknown"), Raised("none", BackendTimeoutError))
    with pytest.raises(UnavailableError) as caught:
        await StepTransport(endpoint, timeout=5).call(SCRIPT, [b"k"], [])
    assert caught.value.outcome == "unknown"


async def test_call_timed_out_is_not_repeated() -> None:
    endpoint = Endpoint(Raised("unknown", BackendTimeoutError))
    with pytest.raises(BackendTimeoutError):
        await call(endpoint)
    assert len(endpoint.sent) == 1


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([Raised("none")], "none"),
        ([Raised("unknown")], "unknown"),
        ([Raised("unknown"), Raised("none")], "unknown"),
        ([Raised("none"), Raised("unknown"), Raised("none")], "unknown"),
        ([Raised("unknown"), refused("OOM x")], "unknown"),
        ([refused("LOADING x"), refused("OOM x")], "none"),
        ([Raised("none"), refused("OOM x")], "none"),
    ],
)
async def test_outcome_is_that_of_all_attempts(answers: list[Any], outcome: Outcome) -> None:
    with pytest.raises(BackendError) as caught:
        await call(Endpoint(*answers))
    assert caught.value.outcome == outcome


async def test_read_only_where_nobody_takes_over_is_tried_twice() -> None:
    endpoint = Endpoint(refused("READONLY x"))
    with pytest.raises(ReadOnlyError):
        await call(endpoint)
    assert (len(endpoint.sent), endpoint.dropped) == (2, 1)


async def test_read_only_during_a_failover_is_waited_for() -> None:
    endpoint = Endpoint(*[refused("READONLY x")] * 4, b"fine", follows=True)
    assert await call(endpoint, 2) == b"fine"
    assert endpoint.dropped == 4


async def test_pauses_grow_and_stay_within_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, pauses = Endpoint(Raised("none")), [0.0]

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    transport = StepTransport(endpoint, timeout=0.5)
    monkeypatch.setattr(transport, "_now", lambda: sum(pauses))
    with pytest.raises(UnavailableError):
        await transport.call(SCRIPT, [b"k"], ["v"])
    assert sum(pauses) < 0.5
    assert len(endpoint.sent) == len(pauses) < 60
    assert all(pause <= 0.01 * 2**n for n, pause in enumerate(pauses))


async def test_commands_that_reached_the_server_are_not_repeated() -> None:
    endpoint = Endpoint(Raised("none"), Raised("unknown"), b"fine")
    with pytest.raises(UnavailableError):
        await StepTransport(endpoint, timeout=1).commands([("INCR", "n")])
    assert len(endpoint.sent) == 2


async def test_commands_refused_for_the_moment_come_back_in_place() -> None:
    transport = StepTransport(Endpoint(refused("LOADING x")), timeout=1)
    (reply,) = await transport.commands([("INCR", "n")])
    assert reply.code == "LOADING"


async def test_commands_that_may_be_repeated_are_until_the_deadline() -> None:
    endpoint = Endpoint(refused("LOADING x"), Raised("unknown"), b"fine")
    assert await StepTransport(endpoint, timeout=1).commands([("GET", "n")], retry=True) == [b"fine"]
    endpoint = Endpoint(refused("LOADING x"))
    (reply,) = await StepTransport(endpoint, timeout=0.1).commands([("GET", "n")], retry=True)
    assert reply.code == "LOADING"
