"""Where a database is: a URL, taken apart and checked before anything connects.

Pure: knows no driver, opens nothing. Credentials appear neither in `str()`, `repr()` nor any error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from redisom_lite.errors import DeclarationError

Kind: TypeAlias = Literal["server", "socket", "sentinel", "cluster", "memory", "embedded"]
HostPort: TypeAlias = tuple[str, int]

_KINDS: Final[dict[str, Kind]] = {
    "redis": "server",
    "rediss": "server",
    "unix": "socket",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
    "memory": "memory",
    "embedded": "embedded",
}
_DEFAULT_PORT: Final = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_HOST_PORT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:\s]*)(?::(?P<port>\d{1,5}))?")
_EXAMPLES: Final = (
    "redis://host:6379/0, rediss://..., unix:///path/redis.sock, redis+sentinel://h1,h2/service, "
    "redis+cluster://h1,h2, memory://name, embedded:// or embedded:///folder"
)


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed database URL.

    `hosts` are the server, the sentinels or the first nodes of a cluster; `path` is the unix socket or
    the folder of an embedded server (empty: throwaway); `name` the in-memory database or the sentinel
    service. `options` are the query's, under redis-py's names.
    """

    kind: Kind
    hosts: tuple[HostPort, ...] = ()
    path: str = ""
    name: str = ""
    tls: bool = False
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        """The URL without credentials and options, fit for a message."""
        where = ",".join(_host_port(host, port) for host, port in self.hosts)
        match self.kind:
            case "server":
                return f"{self._scheme()}://{where}/{self.db}"
            case "sentinel":
                return f"{self._scheme()}+sentinel://{where}/{self.name}/{self.db}"
            case "cluster":
                return f"{self._scheme()}+cluster://{where}"
            case "socket":
                return f"unix://{self.path}"
            case "memory":
                return f"memory://{self.name}"
            case "embedded":
                return f"embedded://{self.path}"

    def option(self, name: str) -> str | None:
        """The last value the query gives to `name`."""
        return dict(self.options).get(name)

    def driver_url(self, *without: str) -> str:
        """The URL of one server in the form redis-py parses: credentials and options kept, but for `without`.

        For sentinels and clusters it names the first host; what is asked of it are the options.
        """
        user = quote(self.username or "", safe="")
        login = f"{user}:{quote(self.password or '', safe='')}@" if user or self.password else ""
        options = [(key, value) for key, value in self.options if key not in (*without, "db")]
        query = urlencode([*options, ("db", str(self.db))])
        if self.kind == "socket":
            return f"unix://{login}{quote(self.path)}?{query}"
        return f"{self._scheme()}://{login}{_host_port(*self.hosts[0])}?{query}"

    def _scheme(self) -> str:
        return "rediss" if self.tls else "redis"


def parse(url: str) -> Address:
    """Take a URL apart.

    Raises:
        DeclarationError: an unknown scheme, a host, port, database or path that cannot be; the message
            names what is wrong and never quotes the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        # Its message may quote the host part, and with it a password.
        raise DeclarationError("the database URL is malformed: check its host part") from None
    kind = _KINDS.get(parts.scheme)
    if kind is None or not url.partition(":")[2].startswith("//"):
        raise DeclarationError(f"the database URL needs one of these forms: {_EXAMPLES}")
    if parts.fragment:
        raise DeclarationError("the database URL has a '#': percent-encode it as %23")
    options = tuple(parse_qsl(parts.query, keep_blank_values=True))
    _check_options(dict(options))
    tls = parts.scheme.startswith("rediss")
    match kind:
        case "memory":
            return Address(kind, name=unquote(parts.netloc + parts.path))
        case "embedded":
            return Address(kind, path=_folder(parts), options=options)
        case "socket":
            username, password, host = _login(parts.netloc)
            if host or not parts.path.startswith("/"):
                raise DeclarationError("unix:// takes an absolute path: unix:///run/redis.sock")
            db = _db("", options)
            return Address(
                kind, path=unquote(parts.path), db=db, username=username, password=password, options=options
            )
        case _:
            return _parse_hosts(kind, parts, tls, options)


def _parse_hosts(kind: Kind, parts: SplitResult, tls: bool, options: tuple[tuple[str, str], ...]) -> Address:
    username, password, netloc = _login(parts.netloc)
    hosts = tuple(_parse_host(text, _DEFAULT_PORT[kind]) for text in netloc.split(","))
    service, db_text = "", parts.path.removeprefix("/").rstrip("/")
    if kind == "sentinel":
        service, _, db_text = db_text.partition("/")
        if not service:
            raise DeclarationError("redis+sentinel:// names the service: redis+sentinel://h1,h2/service")
    elif kind == "server" and len(hosts) > 1:
        raise DeclarationError("redis:// takes one host; several need redis+sentinel:// or redis+cluster://")
    db = _db(db_text, options)
    if kind == "cluster" and db:
        raise DeclarationError("a cluster has only database 0")
    return Address(kind, hosts, "", unquote(service), tls, db, username, password, options)


def _login(netloc: str) -> tuple[str | None, str | None, str]:
    """Split `user:password@hosts`; an empty user or password counts as none."""
    login, _, hosts = netloc.rpartition("@")
    username, _, password = login.partition(":")
    return unquote(username) or None, unquote(password) or None, hosts


def _parse_host(text: str, default_port: int) -> HostPort:
    found = _HOST_PORT.fullmatch(text)
    if found is None or not 0 < int(found["port"] or default_port) < 65536:
        raise DeclarationError("the database URL has a malformed host or port")
    return unquote(found["host"].strip("[]")) or "localhost", int(found["port"] or default_port)


def _db(text: str, options: tuple[tuple[str, str], ...]) -> int:
    """The database number: the query's `db` wins over the path, as in redis-py."""
    number = dict(options).get("db", text) or "0"
    if not number.isdecimal():
        raise DeclarationError("the database of a URL is a number: redis://host:6379/0")
    return int(number)


def _check_options(options: Mapping[str, str]) -> None:
    """Check the options that this library reads itself; the others are redis-py's to check."""
    try:
        connections = int(options.get("max_connections") or 1)
        seconds = float(options.get("socket_timeout") or 1)
    except ValueError:
        connections = seconds = 0
    if connections < 1 or not 0 < seconds < inf:
        raise DeclarationError(
            "in the database URL max_connections takes a whole number from 1 on, "
            "and socket_timeout seconds, more than zero"
        )


def _folder(parts: SplitResult) -> str:
    if parts.netloc:
        raise DeclarationError("embedded:// takes an absolute folder: embedded:///var/lib/app")
    path = unquote(parts.path)
    return "" if path in ("", "/") else str(Path(path))


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
