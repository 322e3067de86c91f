"""What the server or the driver says went wrong, as one of the library's errors.

The only place that reads an error reply's text or a driver's exception class. Two ways in: `from_reply` for
the text of an error reply, `from_driver` for whatever redis-py, asyncio, ssl or the operating system raised.
Both keep the original in `__cause__`.

Rule: a message never carries what the server echoes (it quotes arguments, and those are stored values): of
its text everything from the first quotation mark on is cut off. Names that Lua quotes out of a script stay.
"""

from __future__ import annotations

import os
import re
from ssl import SSLCertVerificationError
from typing import Final

from redisom_lite.errors import (
    AccessDeniedError,
    BackendError,
    BackendTimeoutError,
    CrossSlotError,
    LoadingError,
    Outcome,
    OutOfMemoryError,
    ReadOnlyError,
    RedisomError,
    UnavailableError,
)

_REPLIES: Final[dict[str, tuple[type[BackendError], str]]] = {
    "OOM": (
        OutOfMemoryError,
        "the server is at maxmemory and refused a write: raise maxmemory or delete",
    ),
    "READONLY": (
        ReadOnlyError,
        "a replica refused a write: connect to the primary, or through redis+sentinel://",
    ),
    "NOPERM": (AccessDeniedError, "the user may not run this command or touch this key"),
    "NOAUTH": (AccessDeniedError, "the server wants credentials: put user and password into the URL"),
    "WRONGPASS": (AccessDeniedError, "the server refused the credentials"),
    "LOADING": (LoadingError, "the server is loading its data"),
    "BUSY": (LoadingError, "the server is busy with a long script"),
    "TRYAGAIN": (LoadingError, "a cluster slot is moving"),
    "ASK": (LoadingError, "a cluster slot is moving"),
    "MOVED": (UnavailableError, "another cluster node has this slot: use a redis+cluster:// URL"),
    "CLUSTERDOWN": (UnavailableError, "the cluster is down"),
    "MASTERDOWN": (UnavailableError, "a replica lost its primary and refuses to answer"),
    "MAXCLIENTS": (UnavailableError, "the server accepts no further connection: raise maxclients"),
}
# redis-py cuts the code off the replies it knows; before 8.0 only the class tells it.
_CODE_OF_CLASS: Final = {
    "AskError": "ASK",
    "AuthenticationError": "WRONGPASS",
    "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
    "BusyLoadingError": "LOADING",
    "ClusterCrossSlotError": "CROSSSLOT",
    "MasterDownError": "MASTERDOWN",
    "ClusterDownError": "CLUSTERDOWN",
    "ExecAbortError": "EXECABORT",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}
# Redis 6.2 and fakeredis wrap what fails inside a script, 6.2 also what the script caught.
_IN_SCRIPT: Final = re.compile(
    r"(?:ERR )?Error running script \(call to f_\w+\): @user_script:\s*[\d?]+: (?:@user_script: ?\d+: )?-?"
    r"|^@user_script: ?\d+: -"
)
_NO_FUNCTIONS: Final = re.compile("unknown command .FCALL")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]+(?= |$)")
# Up to the first quotation mark; an apostrophe inside a word, and a command's name, are none.
_PLAIN: Final = r"""[^"'`]|(?<=[a-z])'(?=[a-z])|'[\w|.-]{1,40}'(?= command)"""
_UNQUOTED: Final = re.compile(rf"(?:{_PLAIN})*")
# What Lua says of a script that failed: where, as Redis and as fakeredis put it, and why.
_BY_LUA: Final = re.compile(r'(?:ERR )?(?:user_(?:script|function)|\[string "<python>"\]):(\d+): ')
_NAMED: Final = r"(?:local|global|field|upvalue|method|variable|argument #\d+ to|in table for) '[\w?]{1,60}'"
_REASON: Final = re.compile(rf"(?:{_NAMED}|{_PLAIN})*")


def from_reply(text: str, cause: BaseException | None = None) -> RedisomError:
    """Turn the text of an error reply into an error; the server refused, so its outcome is `"none"`."""
    inner = _IN_SCRIPT.sub("", text, count=1)
    found = _CODE.match(inner)
    code = found[0] if found else "ERR"
    if code == "ERR":
        code = _hidden_code(inner)
    error: RedisomError
    if code == "CROSSSLOT":
        error = CrossSlotError("the keys of one step lie in different cluster slots (CROSSSLOT)")
    elif code in _REPLIES:
        kind, message = _REPLIES[code]
        error = kind(f"{message} ({code})", code=code)
    else:
        error = BackendError(f"the server refused: {_fit_to_show(inner) or code}", code=code)
    error.__cause__ = cause
    return error


def _fit_to_show(text: str) -> str:
    """An error reply without what it may echo."""
    if place := _BY_LUA.match(text):
        first_line = text[place.end() :].partition("\n")[0]  # a traceback may follow
        reason = _REASON.match(first_line)
        return f"ERR user_script:{place[1]}: {reason[0].strip() if reason else ''}"
    shown = _UNQUOTED.match(text)
    return shown[0].strip() if shown else ""


def _hidden_code(text: str) -> str:
    """The codes Redis means by some of its `ERR` replies."""
    if "The user executing the script can't" in text:
        return "NOPERM"
    if "max number of clients reached" in text:
        return "MAXCLIENTS"
    if "Function not found" in text or _NO_FUNCTIONS.search(text):
        return "NOFUNCTION"
    if text.startswith(("ERR Library ", "Library ")) and text.endswith(" already exists"):
        return "LIBRARYEXISTS"
    return "ERR"


def from_driver(error: BaseException, where: str, outcome: Outcome) -> RedisomError:
    """Turn what the driver or the operating system raised into an error.

    An error reply that redis-py raised is told from a failing connection by its code or class, as some
    (`LOADING`, wrong credentials) are subclasses of its ConnectionError. `where` names the server.
    """
    link: BaseException | None = error
    while link is not None:  # over a unix socket redis-py wraps what became of the handshake
        if is_reply(link):
            return from_reply(f"{_code_of(link)} {link}".strip(), error)
        if any(kind.__name__ == "TimeoutError" for kind in type(link).__mro__):
            return timed_out(where, outcome, error)
        link = link.__cause__
    if "max number of clients reached" in str(error):
        return from_reply(str(error), error)
    return lost(where, outcome, error)


def is_reply(error: BaseException) -> bool:
    """Whether redis-py raised `error` because the server said so, not because the connection failed."""
    return bool(_code_of(error)) or any(kind.__name__ == "ResponseError" for kind in type(error).__mro__)


def _code_of(error: BaseException) -> str:
    code: str | None = getattr(error, "status_code", None)
    names = (kind.__name__ for kind in type(error).__mro__)
    return code or next((_CODE_OF_CLASS[name] for name in names if name in _CODE_OF_CLASS), "")


def lost(where: str, outcome: Outcome, cause: BaseException | None) -> UnavailableError:
    """The connection could not be made (`"none"`), or broke."""
    cause = cause or ConnectionResetError("closed before the call")
    what = "cannot reach" if outcome == "none" else "the connection broke to"
    error = UnavailableError(f"{what} {where}{_reason(cause)}", outcome=outcome)
    error.__cause__ = cause
    return error


def timed_out(where: str, outcome: Outcome, cause: BaseException | None = None) -> BackendTimeoutError:
    """No answer came before the deadline."""
    error = BackendTimeoutError(f"no answer in time from {where}", outcome=outcome)
    error.__cause__ = cause or TimeoutError("the deadline has passed")
    return error


def closed(where: str) -> BackendError:
    """This program closed the connections and then used them."""
    return BackendError(f"the connections to {where} were closed by this program")


def _reason(cause: BaseException | None) -> str:
    """What the operating system said. Other texts are left out: a parser's may hold a piece of a reply."""
    link = cause
    while link is not None:
        if isinstance(link, OSError):
            # asyncio replaces the system's words by an address; ssl and DNS have numbers of their own
            known = link.errno if type(link).__module__ == "builtins" else None
            return f": {os.strerror(known) if known else link.strerror or link}"
        link = link.__cause__ or link.__context__
    return f" ({type(cause).__name__})" if cause is not None else ""


def is_transient(error: BaseException) -> bool:
    """Whether the same step may succeed a little later. A certificate that is not trusted will not be.

    A connection may take longer to open than it is given, which can be less than the step has.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, SSLCertVerificationError):
            return False
        link = link.__cause__ or link.__context__
    if isinstance(error, BackendTimeoutError):
        return error.outcome == "none"
    return isinstance(error, UnavailableError | LoadingError)
