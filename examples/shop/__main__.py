"""Run the shop: `python -m examples.shop`, then open the address it prints."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import uvicorn

from examples.shop.app import create_app
from examples.shop.models import db
from examples.shop.primary import Primary
from redisom_lite.errors import UnavailableError


def main() -> None:
    options = _options()
    with ExitStack() as stack:
        folder = Path(options.folder or stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if not os.environ.get("REDISOM_URL") and not asyncio.run(served()):
            print("There is no redis-server to start: going on in memory, without the figures of memory.")
            stack.enter_context(db.override("memory://shop"))
        primary = Primary(folder / "primary.db", delay=options.delay / 1000)
        try:
            listening = stack.enter_context(socket.create_server((options.host, options.port)))
        except OSError as error:
            sys.exit(
                f"{options.host}:{options.port} cannot be listened at ({error.strerror}): choose another --port"
            )
        print(
            f"The shop is open at http://{options.host}:{listening.getsockname()[1]}  (Ctrl-C closes it)",
            flush=True,
        )
        config = uvicorn.Config(create_app(primary), log_level="warning", access_log=False)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listening])


async def served() -> bool:
    """Whether there is a server."""
    try:
        async with db:
            return await db.ping()
    except UnavailableError:
        return False


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="examples.shop", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one; default %(default)s")
    parser.add_argument(
        "--delay", type=float, default=60, help="ms the primary database is slow; default %(default)s"
    )
    parser.add_argument("--folder", help="where the primary database is kept; else it goes with the shop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
