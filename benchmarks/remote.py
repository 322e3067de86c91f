"""The parent's side of a contender: start its process, ask it, hear how long it took."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from benchmarks.contenders import Entry
from benchmarks.cores import pin

ROOT = Path(__file__).parent.parent


class Failed(Exception):
    """A contender could not do what it was asked."""


class Remote:
    """A running contender. `with` ends it."""

    def __init__(
        self, entry: Entry, python: str, url: str, *, loop: str = "asyncio", core: int | None = None
    ) -> None:
        self.name = entry.name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", entry.where, url, loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        )
        pin(self._process.pid, core)
        try:
            self._methods = frozenset(self._hear()["has"])
        except Failed:
            self.close()
            raise

    @property
    def process(self) -> int:
        """The number of its process."""
        return self._process.pid

    def has(self, method: str) -> bool:
        """Whether it offers that operation."""
        return method in self._methods

    def run(self, method: str, calls: Sequence[Sequence[Any]], *, seconds: float = 3600) -> dict[str, Any]:
        """Make the calls one after another, until `seconds` have gone: `waited`, `burnt` (us each), last `answer`."""
        assert self._process.stdin
        line = json.dumps({"method": method, "calls": calls, "seconds": seconds})
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return self._hear()

    def ask(self, method: str, *args: Any) -> Any:
        """The answer of one call."""
        return self.run(method, [args])["answer"]

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        heard: dict[str, Any] = json.loads(line) if line else {"error": self._said()}
        if "error" in heard:
            raise Failed(f"{self.name}: {heard['error'].strip()}")
        return heard

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read() or "ended without a word"

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
