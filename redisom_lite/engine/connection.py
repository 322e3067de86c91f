"""Addresses become redis-py: connections for the transports, not yet connected, and raw clients.

The only place that names redis-py's and fakeredis' classes. Both are imported on first use: importing the
library must not pay for them. redis-py's own retries are off throughout: it repeats writes blindly.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from redisom_lite.engine import failure
from redisom_lite.engine.address import Address, HostPort
from redisom_lite.errors import DeclarationError, UnavailableError

# Options of the URL that configure pools, not connections.
_POOL_OPTIONS: Final = ("max_connections", "timeout")
_SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
MAX_CONNECTIONS: Final = 256

_memory_servers: dict[str, Any] = {}
_memory_lock: Final = threading.Lock()


class Connector:
    """Makes redis-py connections to one server, or to whatever server a sentinel names as the primary.

    A connection speaks RESP2, so that a reply has the same shape everywhere, and returns bytes. `clients` are
    what it needs itself, to ask sentinels.
    """

    def __init__(self, make: Callable[[], Any], where: str, *, clients: Sequence[Any] = ()) -> None:
        self._make = make
        self._clients = clients
        self.where = where

    def make(self) -> Any:
        """Make a connection, not yet connected.

        Raises:
            DeclarationError: the URL has an option that redis-py does not know, or cannot combine.
        """
        try:
            return self._make()
        except (TypeError, ValueError) as error:
            raise DeclarationError(f"an option of the database URL is wrong: {_unexpected(error)}") from error

    async def connect(self, deadline: float) -> Any:
        """Make a connection and connect it, until `deadline` of the loop's clock.

        Raises:
            BackendError: by kind; nothing was sent but the handshake.
        """
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise failure.timed_out(self.where, "none", None)
        connection = self.make()
        _be_patient(connection, left)
        try:
            async with asyncio.timeout_at(deadline):
                await heeding(connection.connect())
        except BaseException as error:
            abort_connection(connection)
            if isinstance(error, Exception):
                raise failure.from_driver(error, self.where, "none") from error
            raise
        return connection

    async def aclose(self) -> None:
        for own in self._clients:
            await own.aclose()

    def abandon(self) -> None:
        for own in self._clients:
            abandon_client(own)


def _be_patient(connection: Any, seconds: float) -> None:
    """Let a connection wait no longer: redis-py may lose a cancellation on the way, and wait as long again."""
    for name in ("socket_timeout", "socket_connect_timeout"):
        if hasattr(connection, name):
            setattr(connection, name, min(getattr(connection, name) or seconds, seconds))


async def heeding(driver: Coroutine[Any, Any, Any]) -> Any:
    """Await redis-py, and heed a cancellation that it lost.

    It sends within `asyncio.wait_for`, which before Python 3.12 returns as if nothing had been when the cancellation
    comes just as the sending is done.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    result = await driver
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


class Source:
    """Connectors to an address."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self.nodes: Sequence[HostPort] = address.hosts if address.kind == "cluster" else ()
        """Where a cluster is asked for its map; none elsewhere."""
        self.follows = address.kind == "sentinel"
        """Whether another connection may lead to another server."""
        self.has_sockets = address.kind != "memory"

    def connector(self, node: HostPort | None = None) -> Connector:
        """Say how to connect; in a cluster, to one `node` of it."""
        where = str(self._address)
        match self._address.kind:
            case "memory":
                return Connector(_memory_client(self._address).connection_pool.make_connection, where)
            case "sentinel":
                # Soon enough to ask again where the primary is, should this one be dead.
                patience = min(self._timeout, 1.0)
                pool = _sentinel_pool(self._address, patience, _driver().ConnectionPool, {"protocol": 2})
                return Connector(pool.make_connection, where, clients=pool.sentinel_manager.sentinels)
            case _:
                return _server_connector(_settings(self._address, self._timeout), where, node)


class BorrowedSource:
    """Connectors that connect the way a user's own client does."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        known = getattr(getattr(raw, "nodes_manager", None), "startup_nodes", {})
        self.nodes: Sequence[HostPort] = [(str(node.host), int(node.port)) for node in known.values()]
        pool = getattr(raw, "connection_pool", None)
        self.follows = hasattr(pool, "sentinel_manager")
        self.has_sockets = pool is None or not pool.connection_class.__module__.startswith("fakeredis")

    def connector(self, node: HostPort | None = None) -> Connector:
        pool = self._raw if self.nodes else self._raw.connection_pool
        settings: dict[str, Any] = {**pool.connection_kwargs}
        settings.setdefault("connection_class", getattr(pool, "connection_class", None))
        for name in ("max_connections", "response_callbacks"):
            settings.pop(name, None)
        for name in ("maint_notifications_config", "maint_notifications_pool_handler"):
            if name in settings:  # these speak RESP3
                settings[name] = None
        settings |= {"decode_responses": False, "retry": _no_retry()}
        return _server_connector(settings, "the server of the given client", node)


def _server_connector(settings: dict[str, Any], where: str, node: HostPort | None) -> Connector:
    settings["protocol"] = 2
    kind: Any = settings.pop("connection_class", None) or _driver().Connection
    if node is not None:
        settings["host"], settings["port"] = node
        where = f"{node[0]}:{node[1]}"
    return Connector(lambda: kind(**settings), where)


def client(address: Address, timeout: float) -> Any:
    """Make the raw redis-py client, a `redis.asyncio.Redis` or `RedisCluster`, that nobody retries for.

    Hundreds of concurrent commands wait for a connection rather than fail.
    """
    driver = _driver()
    limit = int(address.option("max_connections") or MAX_CONNECTIONS)
    match address.kind:
        case "memory":
            return _memory_client(address)
        case "cluster":
            return _cluster_client(address, timeout)
        case "sentinel":
            limits = {"max_connections": limit}
            pool = _sentinel_pool(address, timeout, driver.BlockingConnectionPool, limits)
            return driver.Redis.from_pool(pool)
        case _:
            settings = _settings(address, timeout)
            return driver.Redis.from_pool(driver.BlockingConnectionPool(max_connections=limit, **settings))


async def close_client(raw: Any) -> None:
    """Close a raw client, with the ones that ask sentinels for it."""
    await raw.aclose()
    for connection in _connections(raw):  # older fakeredis leaves them looking open
        detach(connection)
    for own in _sentinels(raw):
        await own.aclose()


def abandon_client(raw: Any) -> None:
    """Close the sockets of a raw client whose loop is closed."""
    for connection in _connections(raw):
        abandon_connection(connection)
    for own in _sentinels(raw):
        abandon_client(own)


def _connections(raw: Any) -> list[Any]:
    pool = getattr(raw, "connection_pool", None)
    nodes = getattr(getattr(raw, "nodes_manager", None), "nodes_cache", {})
    return [
        *getattr(pool, "_available_connections", ()),
        *getattr(pool, "_in_use_connections", ()),
        *(connection for node in nodes.values() for connection in node._connections),
    ]


def _sentinels(raw: Any) -> Sequence[Any]:
    manager = getattr(getattr(raw, "connection_pool", None), "sentinel_manager", None)
    return getattr(manager, "sentinels", ())


def detach(connection: Any) -> Any:
    """Take its stream writer away from a connection, which would warn about it when collected."""
    writer, connection._writer, connection._reader = connection._writer, None, None
    return writer


def abort_connection(connection: Any) -> None:
    """Close a connection at once."""
    writer = detach(connection)
    if writer is not None:
        with suppress(Exception):  # whatever a broken transport says
            getattr(writer, "transport", writer).abort()


def abandon_connection(connection: Any) -> None:
    """Close the socket of a connection whose loop is closed."""
    writer = detach(connection)
    if writer is not None:
        close_without_loop(getattr(writer, "transport", None))


def close_without_loop(transport: Any) -> None:
    """Close the socket of an asyncio transport whose loop is closed.

    Such a loop runs no callback any more, and a transport closes its socket in one: so that is called here,
    by its private name for want of another. A transport that has none is left to the garbage collector.
    """
    with suppress(Exception):
        transport.close()  # marks it closed, then fails to schedule the rest
    inner = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport
    with suppress(Exception):
        inner._call_connection_lost(None)


def _settings(address: Address, timeout: float) -> dict[str, Any]:
    """What redis-py's connection classes take, from the URL and this library's rules."""
    parse_url = import_module("redis.asyncio.connection").parse_url
    try:
        parsed: dict[str, Any] = parse_url(address.driver_url(*_POOL_OPTIONS, *_SENTINEL_OPTIONS))
    except ValueError as error:
        raise DeclarationError("an option of the database URL has a wrong value") from error
    defaults = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    return defaults | parsed | {"decode_responses": False, "retry": _no_retry()}


def _sentinel_pool(address: Address, timeout: float, kind: Any, extra: dict[str, Any]) -> Any:
    """A pool of redis-py's that asks the sentinels for the primary, with the waiting behaviour of `kind`."""
    sentinel = import_module("redis.asyncio.sentinel")
    settings = _settings(address, timeout) | extra
    for name in ("host", "port", "connection_class"):
        settings.pop(name, None)
    own = {name.removeprefix("sentinel_"): address.option(name) for name in _SENTINEL_OPTIONS}
    manager = sentinel.Sentinel(
        address.hosts,
        sentinel_kwargs={
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "retry": _no_retry(),
            "ssl": address.tls,
            "max_connections": 2**16,
            **own,
        },
    )
    pool_class = type("PrimaryPool", (sentinel.SentinelConnectionPool, kind), {})
    return pool_class(address.name, manager, ssl=address.tls, **settings)


def _cluster_client(address: Address, timeout: float) -> Any:
    cluster = import_module("redis.asyncio.cluster")
    settings = _settings(address, timeout)
    for name in ("host", "port", "connection_class", "db"):
        settings.pop(name, None)
    return cluster.RedisCluster(
        startup_nodes=[cluster.ClusterNode(host, port) for host, port in address.hosts],
        ssl=address.tls,
        max_connections=2**16,  # it raises rather than waits
        reinitialize_steps=0,  # else it closes every connection at the fifth redirection, commands under way or not
        **settings,
    )


def _memory_client(address: Address) -> Any:
    """A client of the process's one fake server of that name, whichever loop or Database asks."""
    try:
        fake = import_module("fakeredis")
        import_module("lupa")
    except ImportError as error:
        raise UnavailableError("memory:// needs fakeredis: pip install 'redisom-lite[memory]'") from error
    with _memory_lock:
        server = _memory_servers.get(address.name)
        if server is None:
            server = _memory_servers[address.name] = fake.FakeServer(version=(7,))
    return fake.FakeAsyncRedis(server=server, protocol=2, max_connections=2**16)


def _no_retry() -> Any:
    return import_module("redis.asyncio.retry").Retry(import_module("redis.backoff").NoBackoff(), 0)


def _driver() -> Any:
    return import_module("redis.asyncio")


def _unexpected(error: Exception) -> str:
    """The name of the keyword argument a TypeError complains of; values are not repeated."""
    return str(error).partition("keyword argument ")[2] or type(error).__name__
