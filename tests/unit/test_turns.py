"""Turns: calls that met over a key go on one after the other, the earliest first."""

from __future__ import annotations

import asyncio

import pytest

from redisom_lite.engine import turns
from redisom_lite.engine.turns import Turn


async def test_turn_at_unclaimed_keys_is_not_waited_for() -> None:
    with Turn() as first, Turn() as second:
        first.claim([b"a"])
        coming = second.come([b"b"])
        with pytest.raises(StopIteration):
            coming.send(None)


async def test_earlier_call_does_not_wait_for_a_later_one() -> None:
    with Turn() as first, Turn() as second:
        second.claim([b"a"])
        with pytest.raises(StopIteration):
            first.come([b"a"]).send(None)


async def test_calls_at_claimed_keys_go_on_in_the_order_of_their_beginning() -> None:
    went: list[int] = []

    async def call(turn: Turn, number: int) -> None:
        with turn:
            await turn.come([b"other", b"hot"])
            await asyncio.sleep(0)
            went.append(number)

    with Turn() as first:
        first.claim([b"hot"])
        places = [Turn() for _ in range(50)]
        waiting = [asyncio.create_task(call(place, n)) for n, place in reversed(list(enumerate(places)))]
        await asyncio.sleep(0.01)
        assert went == []
    await asyncio.gather(*waiting)
    assert went == list(range(50))
    assert turns._claims == {}


async def test_later_call_finds_the_line_that_those_who_wait_make() -> None:
    went: list[str] = []

    async def call(turn: Turn, name: str, key: bytes) -> None:
        with turn:
            await turn.come([key, b"common"])
            await asyncio.sleep(0.01)
            went.append(name)

    async with asyncio.TaskGroup() as group:
        with Turn() as first:
            first.claim([b"a"])
            group.create_task(call(Turn(), "second", b"a"))
            await asyncio.sleep(0)
            group.create_task(call(Turn(), "third", b"b"))
            await asyncio.sleep(0)
            went.append("first")
    assert went == ["first", "second", "third"]


async def test_call_that_sees_no_headway_goes_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    with Turn() as first:
        first.claim([b"a"])
        with Turn() as inner:
            async with asyncio.timeout(5):
                await inner.come([b"a"])


async def test_call_that_sees_headway_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with Turn() as first:
        second, third = Turn(), Turn()
        for place in (first, second, third):
            place.claim([b"a"])
        waits = 0

        async def wait(_: object, timeout: float) -> None:  # as long as the patience lasts
            nonlocal waits
            waits += 1
            if waits <= 2:
                (second, third)[waits - 1].__exit__()

        monkeypatch.setattr(asyncio, "wait", wait)
        with Turn() as last:
            await last.come([b"a"])
        monkeypatch.undo()
        assert waits == 3


async def test_call_cancelled_while_it_waits_leaves_the_line() -> None:
    async def call(turn: Turn) -> None:
        with turn:
            await turn.come([b"a"])

    with Turn() as first:
        first.claim([b"a"])
        waiting = [asyncio.create_task(call(Turn())) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
    await asyncio.wait(waiting)
    assert [task.cancelled() for task in waiting] == [False, True, False]
    assert turns._claims == {}


def test_turns_of_several_loops_know_nothing_of_each_other() -> None:
    async def claim() -> Turn:
        turn = Turn()
        turn.claim([b"a"])
        return turn

    async def come() -> None:
        with Turn() as turn:
            async with asyncio.timeout(0.5):
                await turn.come([b"a"])

    other = asyncio.new_event_loop()
    first = other.run_until_complete(claim())
    asyncio.run(come())
    other.close()
    first.__exit__()
    assert turns._claims == {}
