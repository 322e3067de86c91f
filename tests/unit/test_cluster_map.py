"""The map of a cluster's slots: asked for until somebody answers or the step's time is up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from redisom_lite.engine import failure
from redisom_lite.engine.cluster import Cluster
from redisom_lite.engine.node import Command
from redisom_lite.engine.scripts import from_text
from redisom_lite.engine.transport import StepTransport
from redisom_lite.errors import BackendTimeoutError

SCRIPT = from_text("t", b"return 1")


class Node:
    """Answers only when it was asked for the map so many times."""

    def __init__(self, silent: float) -> None:
        self.asked, self.silent = 0, silent

    async def one(self, command: Command, deadline: float) -> Any:
        self.asked += 1
        if self.asked <= self.silent:
            raise failure.timed_out("a node", "unknown")
        return [[0, 16383, [b"", 7000]]]

    async def many(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        return [b"fine" for _ in commands]

    def drop(self) -> None: ...


def opened(node: Any, timeout: float) -> StepTransport:
    return StepTransport(Cluster([("a", 1), ("b", 2), ("c", 3)], lambda _: node), timeout=timeout)


async def test_step_goes_on_when_no_node_answers_at_first() -> None:
    node = Node(silent=5)
    assert await opened(node, 5).call(SCRIPT, [b"k"], []) == b"fine"
    assert node.asked == 6


async def test_step_without_any_answer_ends_with_its_time_and_had_no_effect() -> None:
    node = Node(silent=float("inf"))
    with pytest.raises(BackendTimeoutError) as caught:
        await opened(node, 0.2).call(SCRIPT, [b"k"], [])
    assert caught.value.outcome == "none"
    assert node.asked > 3
