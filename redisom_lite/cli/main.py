"""The command line: what may be typed, and which function of `commands` does it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Sequence

from redisom_lite.cli import commands
from redisom_lite.cli.output import Output
from redisom_lite.errors import RedisomError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        run: commands.Command = options.run
        return asyncio.run(_status(run(options, Output(as_json=options.json))))
    except (RedisomError, commands.UsageError) as error:
        print(f"redisom: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0


async def _status(running: Awaitable[int]) -> int:
    return await running


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--url", help="the database, instead of the one the models are bound to (or REDISOM_URL)"
    )
    common.add_argument("--json", action="store_true", help="one JSON document instead of text")
    parser = argparse.ArgumentParser(prog="redisom", description="Look at models and their indexes in Redis.")
    subcommands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, what: str, run: commands.Command) -> argparse.ArgumentParser:
        command = subcommands.add_parser(name, help=what, description=what, parents=[common])
        command.set_defaults(run=run)
        return command

    demo = add(
        "demo", "store and query 2,000 records on the embedded default, and show the plans", commands.demo
    )
    demo.add_argument("--rows", type=int, default=2000)
    add("models", "list a module's models, their keys and indexes", commands.models).add_argument("module")
    check = add("check", "compare every record with every index entry", commands.check)
    check.add_argument("model", help="module:Model")
    check.add_argument("--repair", action="store_true")
    add("reindex", "index every record anew, online", commands.reindex).add_argument(
        "model", help="module:Model"
    )
    explain = add("explain", "show how a query would run", commands.explain)
    explain.add_argument("model", help="module:Model")
    explain.add_argument("conditions", nargs="*", help='Python, as in "Product.price < 5"')
    explain.add_argument("--order", action="append", default=[], help='as in "Product.price.desc()"')
    explain.add_argument("--limit", type=int)
    explain.add_argument("--analyze", action="store_true", help="run it, and show what it took")
    add("memory", "the server's memory, and its eviction policy", commands.memory)
    ttl = add("ttl", "how long a model's records live", commands.ttl)
    ttl.add_argument("model", help="module:Model")
    add("keys", "how many keys of each kind a model has", commands.keys).add_argument(
        "model", help="module:Model"
    )
    bench = add("bench", "time the basic operations against this server", commands.bench)
    bench.add_argument("--rounds", type=int, default=200)
    return parser
