"""The shop as a program of its own, as `make shop` starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def running(*options: str, **environment: str) -> Iterator[str]:
    """Run it until the end of the block; its address, once it answers."""
    program = subprocess.Popen(
        [sys.executable, "-m", "examples.shop", "--port", "0", *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    try:
        line = program.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, f"no address in {line!r}"
        _wait_for(found[0])
        yield found[0]
    finally:
        program.send_signal(signal.SIGINT)
        status = program.wait(60)
        program.stdout.close()
    assert status == 0


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(address, timeout=5)
            return
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
