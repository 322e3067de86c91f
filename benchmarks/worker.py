"""One contender in a process of its own: it is told what to call over a pipe, and says how long each call took.

Imports nothing but the standard library and the contender, so that it runs in whatever environment that needs.
The parent's side is `remote.py`. One JSON object a line, in either direction.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
import traceback
from typing import Any

_LONGEST_LINE = 1 << 28


async def serve(where: str, url: str, answers: int) -> None:
    """Open the contender, then do what stdin says until it ends."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer)

    def say(answer: dict[str, Any]) -> None:
        rest = memoryview(json.dumps(answer).encode() + b"\n")
        while rest:
            rest = rest[os.write(answers, rest) :]

    contender: Any = None
    try:
        module, _, name = where.partition(":")
        contender = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), name)()
        await contender.open(url)
        gc.collect()
        gc.freeze()  # what was imported is looked through no more
        say({"has": [method for method in dir(contender) if not method.startswith("_")]})
        while line := await lines.readline():
            asked = json.loads(line)
            try:
                say(await _run(getattr(contender, asked["method"]), asked["calls"], asked["seconds"]))
            except Exception:
                say({"error": traceback.format_exc()})
    except Exception:
        say({"error": traceback.format_exc()})
    finally:
        if contender is not None:
            await contender.close()


async def _run(method: Any, calls: list[list[Any]], seconds: float) -> dict[str, Any]:
    """Call again and again, until `seconds` have gone; microseconds waited and burnt by each."""
    gc.collect()
    waited: list[float] = []
    burnt: list[float] = []
    answer: Any = None
    end = time.perf_counter() + seconds
    for args in calls:
        cpu, begun = time.process_time_ns(), time.perf_counter_ns()
        answer = await method(*args)
        waited.append((time.perf_counter_ns() - begun) / 1000)
        burnt.append((time.process_time_ns() - cpu) / 1000)
        if time.perf_counter() > end:
            break
    return {"waited": waited, "burnt": burnt, "answer": answer}


def main() -> None:
    """`python -m benchmarks.worker module:Class URL [uvloop]`."""
    where, url, *rest = sys.argv[1:]
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    factory = importlib.import_module("uvloop").new_event_loop if "uvloop" in rest else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(where, url, answers))


if __name__ == "__main__":
    main()
