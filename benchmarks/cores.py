"""Which cores the server and its callers run on.

Left alone, the system moves them about. On one core a call costs what both sides compute; on two, each side also has to
be woken for every message, and what they do at the same time counts once. A run of either kind says which it was.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PLACEMENTS: Final = ("free", "together", "apart")


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the servers run, and where the contenders; None: wherever the system puts them."""

    servers: int | None = None
    contenders: int | None = None

    @classmethod
    def of(cls, placement: str) -> Cores:
        """`together` on one core, `apart` on two, or `free`."""
        if placement == "free":
            return cls()
        there = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(there) < (2 if placement == "apart" else 1):
            raise SystemExit(f"--cores {placement} is not possible here")
        return cls(there[0], there[1 if placement == "apart" else 0])


def pin(process: int, core: int | None) -> None:
    """Keep all threads of a process on a core."""
    if core is not None:
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
