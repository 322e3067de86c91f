"""The guardian: a small program that starts one private server, counts its users and stops it after the last.

It is run, never imported: `python guardian.py BINARY HOME FOLDER`, with one end of a socket pair as standard
input. `embedded.py` holds the other end. It knows the standard library and nothing else.

    user ──┐                             HOME    temporary, mode 0700: the server's socket and its log, and
    user ──┼── guardian ── redis-server          `door`, the socket at which further users join
    user ──┘                             FOLDER  data that outlive the program; empty for a throwaway server

Why a process of its own: a program killed with SIGKILL runs no cleanup, but the kernel closes its sockets. So
a user *is* an open connection to the guardian. PR_SET_PDEATHSIG between program and server would not do: it
fires when the *thread* that started the server ends. The guardian has one thread; there it is right.

Rules:

- One server per folder: the guardian locks FOLDER/redisom.lock (flock) and hands the open lock on to the
  server. The kernel frees it when both are gone: a lock is never stale, and no server opens files that
  another still writes.
- The server ends with its guardian, even if that is killed (Linux only).
- A user counts from the reply on, which comes when the server has answered. The door closes before the server
  is told to stop; whoever connected and got no reply has not joined, and tries again until the lock is free.

What it says to a user, one line each, fields separated by tabs: `wait` (no answer yet, once a second),
`ready SOCKET NAME VERSION`, `busy` (another guardian has the folder), `error TEXT`, and `bye PID` (the
guardian's own) to the last user, when the server is gone. A user says nothing and leaves by closing.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time

# Starting is what users wait for, so nothing slow is imported before the server boots: not even typing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import NoReturn

FIRST_ANSWER = 30.0  # seconds for a first answer; loading data, once it talks, may take any time
SAVING = 300.0  # seconds a durable server may take to save when told to stop
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(binary: str, home: str, folder: str) -> None:
    """Serve from the first user to the last."""
    os.setsid()  # the signals of the program's terminal are not meant for us
    first = _detach()
    try:
        lock = _lock(folder) if folder else None
        if folder and lock is None:
            os.write(first, b"busy\n")
            return
        os.mkdir(home, 0o700)
    except OSError as error:
        os.write(first, f"error\t{error}\n".encode())
        return
    wake = _wake_on_signals()
    server = _launch(binary, home, folder)
    try:
        last = _serve(server, home, lock, first, wake)
        _stop(server, wake, SAVING if folder else 0)
    finally:
        _remove(home)
    for user in last:
        _say(user, f"bye\t{os.getpid()}")


def _detach() -> int:
    """Let go of everything the program had open or stood in; return the connection to the first user."""
    first = os.dup(0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    opened = max(int(name) for name in os.listdir("/dev/fd"))
    os.closerange(3, first)
    os.closerange(first + 1, opened + 1)
    os.chdir("/")
    return first


def _lock(folder: str) -> int | None:
    """Take the folder for this guardian and its server; None if another has it."""
    fd = os.open(f"{folder}/redisom.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    os.set_inheritable(fd, True)  # the server holds it too, to its own end
    return fd


def _wake_on_signals() -> int:
    """Make signals wake `select` and do nothing else: users and the server's end decide what happens."""
    wake, alarm = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(alarm, False)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _no_op)  # not SIG_IGN, which the server would inherit
    return wake


def _no_op(_number: int, _frame: object) -> None: ...


def _launch(binary: str, home: str, folder: str) -> int:
    """Start the server as a child; return its pid."""
    guardian = os.getpid()
    pid = os.fork()
    return pid or _become_server(binary, home, folder, guardian)


def _become_server(binary: str, home: str, folder: str, guardian: int) -> NoReturn:
    try:
        log = os.open(f"{home}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _die_with(guardian)
        os.execv(binary, [binary, *_settings(home, folder)])
    except BaseException as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(127)


def _settings(home: str, folder: str) -> list[str]:
    durable = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "3600 1 300 100 60 10000"]
    throwaway = ["--appendonly", "no", "--save", ""]
    return [
        *("--port", "0", "--unixsocket", f"{home}/redis.sock", "--unixsocketperm", "700"),
        *("--dir", folder or home, "--daemonize", "no", "--loglevel", "warning"),
        *(durable if folder else throwaway),
    ]


def _die_with(guardian: int) -> None:
    """Ask the kernel for SIGTERM when the guardian ends. Elsewhere than on Linux there is no such thing."""
    if sys.platform != "linux":
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    except (ImportError, OSError, AttributeError):  # a Python built without ctypes
        return
    if os.getppid() != guardian:  # it ended before we asked
        os._exit(0)


def _serve(server: int, home: str, lock: int | None, first: int, wake: int) -> list[socket]:
    """Let users in and out until none is left or the server ends; return those to say goodbye to."""
    from socket import AF_UNIX, socket  # slow to import: the server boots meanwhile

    users = {socket(fileno=first)}
    waiting = set(users)  # those without a reply yet
    left: list[socket] = []
    ready = ""
    started = said = time.monotonic()
    with socket(AF_UNIX) as door:
        door.bind(f"{home}/door")
        door.listen(128)
        if lock is not None:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{home}/door\n".encode(), 0)
        while users and _runs(server):
            watched: list[socket | int] = [door, wake, *users]
            readable, _, _ = select.select(watched, [], [], 0.001 if waiting else None)
            _drain(wake)
            left = [user for user in users if user in readable]  # users never speak: this is their end
            users.difference_update(left)
            waiting.difference_update(left)
            if door in readable:
                user, _ = door.accept()
                users.add(user)
                waiting.add(user)
            if users:
                for user in left:
                    user.close()
            if not waiting:
                continue
            # Asked for each who joins: a killed server accepts connections for as long as its threads end.
            now = time.monotonic()
            answer = _ask(f"{home}/redis.sock")
            ready = answer or ready
            if ready and answer is not None:
                for user in waiting:
                    _say(user, ready)
                waiting.clear()
            elif not ready and answer is None and now - started > FIRST_ANSWER:
                break
            elif now - said > 1:
                said = now
                for user in waiting:
                    _say(user, "wait")
    if not ready:
        for user in users:
            _say(user, f"error\t{_last_words(home)}")
    return [*users, *left]


def _ask(path: str) -> str | None:
    """Ask the server who it is: the `ready` line, "" if it refuses (it loads its data), None if nobody answers."""
    from socket import AF_UNIX, socket

    with socket(AF_UNIX) as conn:
        conn.settimeout(1)
        try:
            conn.connect(path)
            conn.sendall(b"PING\r\nINFO server\r\n")
            with conn.makefile("rb") as replies:
                head = replies.readline()
                if head != b"+PONG\r\n":
                    return "" if head else None
                text = replies.read(int(replies.readline()[1:])).decode()
        except (OSError, ValueError):  # a server that ends may do so between two lines
            return None
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    name = "valkey" if "valkey_version" in facts else "redis"
    return f"ready\t{path}\t{name}\t{facts[f'{name}_version']}"


def _say(user: socket, line: str) -> None:
    try:
        user.setblocking(False)
        user.sendall(f"{line}\n".encode())
    except OSError:  # gone: its end will be seen
        pass


def _last_words(home: str) -> str:
    """The end of the server's log, in one line."""
    try:
        with open(f"{home}/log", errors="replace") as log:
            lines = [line.strip() for line in log]
    except OSError:
        lines = []
    return " | ".join(line for line in lines[-4:] if line) or "it wrote no log"


def _runs(server: int) -> bool:
    try:
        return os.waitpid(server, os.WNOHANG) == (0, 0)
    except ChildProcessError:  # reaped before
        return False


def _stop(server: int, wake: int, patience: float) -> None:
    """End the server: with SIGTERM it saves and syncs; one without patience has nothing to save."""
    deadline = time.monotonic() + patience
    if patience and _runs(server):
        os.kill(server, signal.SIGTERM)
    while _runs(server):
        if time.monotonic() >= deadline:
            os.kill(server, signal.SIGKILL)
        select.select([wake], [], [], 0.5)  # the end of a child wakes it
        _drain(wake)


def _drain(wake: int) -> None:
    try:
        os.read(wake, 4096)
    except BlockingIOError:
        pass


def _remove(home: str) -> None:
    import shutil

    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
