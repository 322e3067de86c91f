"""Error replies and driver errors as errors of the library."""

from __future__ import annotations

import pytest
import redis
from redis import exceptions as driver

from redisom_lite.engine import failure
from redisom_lite.engine.resp import INCOMPLETE, reader
from redisom_lite.errors import (
    AccessDeniedError,
    BackendError,
    BackendTimeoutError,
    CrossSlotError,
    LoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    UnavailableError,
)

FULL = "OOM command not allowed when used memory > 'maxmemory'."
REPLICA = "READONLY You can't write against a read only replica."
MAY_NOT_RUN = "The user executing the script can't run this command or subcommand"
MAY_NOT_TOUCH = "The user executing the script can't access at least one of the keys mentioned"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
IN_62 = "ERR Error running script (call to f_bd6f3018): @user_script:1: "
IN_70 = " script: bd6f3018, on @user_script:1."

# As Redis 7.0, Redis 6.2 and fakeredis say it.
REPLIES = [
    (FULL, OutOfMemoryError, "OOM"),
    (FULL + IN_70, OutOfMemoryError, "OOM"),
    (IN_62 + "@user_script: 1: -" + FULL, OutOfMemoryError, "OOM"),
    ("@user_script: 1: -" + FULL, OutOfMemoryError, "OOM"),
    (REPLICA, ReadOnlyError, "READONLY"),
    (REPLICA + IN_70, ReadOnlyError, "READONLY"),
    (IN_62 + "@user_script: 1: -" + REPLICA, ReadOnlyError, "READONLY"),
    ("@user_script: 1: -" + REPLICA, ReadOnlyError, "READONLY"),
    ("NOPERM this user has no permissions to run the 'set' command", AccessDeniedError, "NOPERM"),
    ("ERR " + MAY_NOT_RUN + IN_70, AccessDeniedError, "NOPERM"),
    ("ERR " + MAY_NOT_TOUCH + IN_70, AccessDeniedError, "NOPERM"),
    (IN_62 + "@user_script: 1: " + MAY_NOT_RUN, AccessDeniedError, "NOPERM"),
    (IN_62 + "@user_script: 1: " + MAY_NOT_TOUCH, AccessDeniedError, "NOPERM"),
    ("NOAUTH Authentication required.", AccessDeniedError, "NOAUTH"),
    ("WRONGPASS invalid username-password pair or user is disabled.", AccessDeniedError, "WRONGPASS"),
    ("LOADING Redis is loading the dataset in memory", LoadingError, "LOADING"),
    ("BUSY Redis is busy running a script.", LoadingError, "BUSY"),
    ("TRYAGAIN Multiple keys request during rehashing of slot", LoadingError, "TRYAGAIN"),
    ("CLUSTERDOWN The cluster is down", UnavailableError, "CLUSTERDOWN"),
    ("MASTERDOWN Link with MASTER is down", UnavailableError, "MASTERDOWN"),
    ("MOVED 3999 127.0.0.1:6381", UnavailableError, "MOVED"),
    ("ERR max number of clients reached", UnavailableError, "MAXCLIENTS"),
    (WRONG_TYPE, BackendError, "WRONGTYPE"),
    (WRONG_TYPE + IN_70, BackendError, "WRONGTYPE"),
    (IN_62 + WRONG_TYPE, BackendError, "WRONGTYPE"),
    ("NOSCRIPT No matching script. Please use EVAL.", BackendError, "NOSCRIPT"),
    ("MYCODE foo", BackendError, "MYCODE"),
    ("ERR something", BackendError, "ERR"),
    ("lower case", BackendError, "ERR"),
    ("", BackendError, "ERR"),
]


@pytest.mark.parametrize(
    ("text", "kind", "code"), REPLIES, ids=[f"{code}-{text[:30]}" for text, _, code in REPLIES]
)
def test_error_reply_becomes_the_error_of_its_code(text: str, kind: type[BackendError], code: str) -> None:
    error = failure.from_reply(text, cause := redis.ResponseError(text))
    assert type(error) is kind
    assert isinstance(error, BackendError)
    assert (error.code, error.outcome, error.__cause__) == (code, "none", cause)


def test_crossslot_reply_becomes_its_own_error() -> None:
    assert type(failure.from_reply("CROSSSLOT Keys in request don't hash")) is CrossSlotError


@pytest.mark.parametrize(
    "text",
    [
        "ERR unknown command 'HGETALLL', with args beginning with: 'secret' ",
        "ERR unknown command `HGETALLL`, with args beginning with: `secret`, ",
        'ERR no such thing as "secret"',
        "MYCODE 'a secret' command",
        IN_62 + "user_script:3: 'secret'",
        "ERR user_script:3: bad field: 'secret'" + IN_70,
        "ERR no such field 'secret'",
    ],
)
def test_error_reply_that_echoes_a_value_does_not_pass_it_on(text: str) -> None:
    assert "secret" not in str(failure.from_reply(text))


@pytest.mark.parametrize("text", [WRONG_TYPE, "ERR can't do 'get' command"])
def test_error_reply_that_echoes_nothing_is_shown(text: str) -> None:
    assert text in str(failure.from_reply(text))


@pytest.mark.parametrize(
    "reason",
    [
        "attempt to index local 't' (a nil value)",
        "attempt to perform arithmetic on field '?' (a string value)",
        "Script attempted to access nonexistent global variable 'foo'",
        "bad argument #1 to 'rep' (string expected, got no value)",
        "invalid value (nil) at index 1 in table for 'concat'",
        "attempt to compare number with nil",
    ],
)
@pytest.mark.parametrize(
    "said",
    [
        "ERR user_script:7: {}" + IN_70,
        IN_62 + "user_script:7: {}",
        '[string "<python>"]:7: {}\nstack traceback:\n\t',
    ],
    ids=["7.0", "6.2", "fakeredis"],
)
def test_error_inside_a_script_keeps_its_reason(said: str, reason: str) -> None:
    assert f"user_script:7: {reason}" in str(failure.from_reply(said.format(reason)))


RAISED = [
    (driver.ResponseError("WRONGTYPE Operation"), BackendError, "WRONGTYPE", "none"),
    (driver.OutOfMemoryError("command not allowed"), OutOfMemoryError, "OOM", "none"),
    (driver.ReadOnlyError("You can't write"), ReadOnlyError, "READONLY", "none"),
    (driver.NoPermissionError("no"), AccessDeniedError, "NOPERM", "none"),
    (driver.AuthenticationError("invalid"), AccessDeniedError, "WRONGPASS", "none"),
    (driver.BusyLoadingError("loading"), LoadingError, "LOADING", "none"),
    (driver.MasterDownError("down"), UnavailableError, "MASTERDOWN", "none"),
    (driver.ClusterDownError("down"), UnavailableError, "CLUSTERDOWN", "none"),
    (driver.NoScriptError("no"), BackendError, "NOSCRIPT", "none"),
    (driver.ConnectionError("max number of clients reached"), UnavailableError, "MAXCLIENTS", "none"),
    (driver.ConnectionError("gone"), UnavailableError, "", "unknown"),
    (driver.TimeoutError("slow"), BackendTimeoutError, "", "unknown"),
    (driver.InvalidResponse("secret"), UnavailableError, "", "unknown"),
    (TimeoutError(), BackendTimeoutError, "", "unknown"),
    (TypeError("secret"), UnavailableError, "", "unknown"),
    (ConnectionResetError(104, "Connection reset by peer"), UnavailableError, "", "unknown"),
    (RuntimeError("secret"), UnavailableError, "", "unknown"),
]


@pytest.mark.parametrize(
    ("raised", "kind", "code", "outcome"), RAISED, ids=[repr(it[0])[:50] for it in RAISED]
)
def test_driver_error_becomes_the_error_of_its_kind(
    raised: Exception, kind: type[BackendError], code: str, outcome: str
) -> None:
    error = failure.from_driver(raised, "redis://h", "unknown")
    assert type(error) is kind
    assert isinstance(error, BackendError)
    assert (error.code, error.outcome, error.__cause__) == (code, outcome, raised)
    assert "secret" not in str(error)


def test_refused_credentials_wrapped_by_the_driver_are_still_a_denial() -> None:
    wrapped = driver.ConnectionError("wrapped")
    wrapped.__cause__ = driver.AuthenticationError("invalid")
    assert type(failure.from_driver(wrapped, "redis://h", "none")) is AccessDeniedError


def test_timeout_wrapped_by_the_driver_is_still_one() -> None:
    wrapped = driver.ConnectionError("wrapped")
    wrapped.__cause__ = driver.TimeoutError("slow")
    assert type(failure.from_driver(wrapped, "unix:///s", "none")) is BackendTimeoutError


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('::1', 1)"), "Connection refused"),
        (OSError("Multiple exceptions: no, no"), "Multiple exceptions: no, no"),
    ],
)
def test_lost_connection_names_the_server_and_the_reason(cause: OSError, reason: str) -> None:
    wrapped = driver.ConnectionError("wrapped")
    wrapped.__context__ = cause
    assert str(failure.lost("redis://h:1/0", "none", wrapped)) == f"cannot reach redis://h:1/0: {reason}"


def test_lost_connections_and_timeouts_always_have_a_cause() -> None:
    assert isinstance(failure.lost("redis://h", "none", None).__cause__, ConnectionError)
    assert isinstance(failure.timed_out("redis://h", "none").__cause__, TimeoutError)


def test_reader_on_an_error_inside_an_array_gives_it_in_place() -> None:
    parser = reader()
    parser.feed(b"*2\r\n-WRONGTYPE no\r\n:1\r\n-ERR \xff\r\n")
    refusal, one = parser.gets()
    assert (refusal.code, one) == ("WRONGTYPE", 1)
    assert isinstance(parser.gets(), BackendError)
    assert parser.gets() is INCOMPLETE
