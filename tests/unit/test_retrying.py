"""Retries: how often, on what, and how long between."""

from __future__ import annotations

import pytest

from redisom_lite.errors import ConstraintError, NotFoundError, RedisomError, UnavailableError
from redisom_lite.reliability import Retry


class Work:
    """Fails with these errors, one a call, then succeeds."""

    def __init__(self, *errors: RedisomError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


QUICK = {"first": 0.0, "longest": 0.0}


async def test_passing_failures_are_tried_again() -> None:
    work = Work(UnavailableError("a"), UnavailableError("b"))
    assert await Retry(**QUICK).run(work) == 3


async def test_last_failure_is_raised_as_it_came() -> None:
    errors = [UnavailableError(str(n)) for n in range(3)]
    with pytest.raises(UnavailableError) as caught:
        await Retry(attempts=3, **QUICK).run(Work(*errors))
    assert caught.value is errors[-1]


async def test_lasting_failures_are_not_tried_again() -> None:
    work = Work(NotFoundError("gone"))
    with pytest.raises(NotFoundError):
        await Retry(**QUICK).run(work)
    assert work.calls == 1


async def test_unknown_outcome_is_tried_again_only_when_idempotent() -> None:
    with pytest.raises(UnavailableError):
        await Retry(**QUICK).run(Work(UnavailableError("lost", outcome="unknown")))
    assert await Retry(idempotent=True, **QUICK).run(Work(UnavailableError("lost", outcome="unknown"))) == 2


async def test_decorator_passes_arguments() -> None:
    @Retry(attempts=2)
    async def double(n: int, *, plus: int = 0) -> int:
        return 2 * n + plus

    assert await double(4, plus=1) == 9
    assert double.__name__ == "double"


def test_pauses_grow_to_their_limit_and_are_not_shared() -> None:
    retry = Retry(attempts=8, first=1, longest=10)
    runs = [list(retry.pauses()) for _ in range(200)]
    for n in range(7):
        column = [run[n] for run in runs]
        assert 0 <= min(column) <= max(column) <= min(10, 2**n)
        assert len(set(column)) > 190
        assert max(column) > min(10, 2**n) * 0.8


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first": -1}, {"first": 3, "longest": 2}])
def test_impossible_policies_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConstraintError):
        Retry(**wrong)  # type: ignore[arg-type]  # the wrong ones
