"""Random queries on random records, answered by the library and by filtering and sorting a Python list."""

from __future__ import annotations

import pytest

from redisom_lite import Database
from redisom_lite.plan import shape, slicing
from tests.property import flights
from tests.property.running import run


async def test_random_queries_answer_like_a_list(url: str, lane: str) -> None:
    # the in-memory lane spends its time in a Lua interpreter: fewer rounds there
    datasets, queries = (6, 15) if lane == "memory" else (12, 50)
    async with Database(url) as db:
        await run(db, seed=2026, datasets=datasets, queries=queries)


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_queries_asked_slice_by_slice_answer_like_a_list(
    url: str, lane: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicing, "LONGEST", 1)
    monkeypatch.setattr(shape, "_MOST", 0)  # so that what lists a few values counts as listing many
    datasets, queries = (3, 15) if lane == "memory" else (8, 50)
    async with Database(url) as db:
        await run(db, seed=seed, datasets=datasets, queries=queries)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
async def test_random_queries_answer_like_a_list_at_length(real_url: str, seed: int) -> None:
    async with Database(real_url) as db:
        await run(db, seed=seed, datasets=6, queries=60)


async def test_queries_on_flights_answer_like_sqlite(real_url: str) -> None:
    rows = (row for number, row in enumerate(flights.sample_rows()) if number % 5 == 0)
    assert await flights.main(rows, real_url, queries=60) == 0
