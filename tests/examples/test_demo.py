"""The demo, with a few rows, as `make demo` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.flights import __main__ as demo, questions
from redisom_lite.errors import UnavailableError

ROOT = Path(__file__).parent.parent.parent


def test_demo_on_a_real_server_agrees_with_sqlite(real_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.flights", "--rows", "500", "--url", real_url],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(questions.QUESTIONS)} answers, all equal to SQLite's"


async def test_demo_with_a_different_answer_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = questions.Question(
        "wrong", demo.Flight.objects.find(), "SELECT count(*) + 1 FROM flights", questions.count
    )
    monkeypatch.setattr(demo, "QUESTIONS", [wrong])
    assert demo.summary(await demo.tour("memory://demo-wrong", 20)) == 1


async def test_demo_without_a_server_goes_on_in_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDISOM_SERVER", "no-such-program")
    monkeypatch.setattr(demo, "QUESTIONS", demo.QUESTIONS[:1])
    assert demo.summary(await demo.tour(demo.EMBEDDED, 20)) == 0
    assert "Going on with memory://" in capsys.readouterr().out


async def test_demo_with_a_given_server_that_is_not_there_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError):
        await demo.tour("unix:///no/such/socket", 20)
