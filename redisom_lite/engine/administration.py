"""What is asked of a server itself, and of every server of a cluster: INFO, CONFIG, SCAN.

A *place* is one primary: None stands for the only one, a key for the primary of its slot. What a server does not
have (`memory://`) or does not allow (managed services take CONFIG away) is said in so many words.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from redisom_lite.engine.cluster import slot_of
from redisom_lite.engine.node import Command
from redisom_lite.engine.store import Store
from redisom_lite.errors import AccessDeniedError, BackendError, RedisomError

Place = bytes | None

_IN_PROCESS: Final = "memory://"


def require_server(store: Store, what: str) -> None:
    """Refuse what `memory://` cannot do, before anything is sent."""
    if store.backend.connections.address.kind == "memory":
        raise BackendError(
            f"{what} needs a server, and {_IN_PROCESS} is none: use embedded://, or the URL of a server"
        )


async def places(store: Store) -> list[Place]:
    """One place for each primary. Redis, on a cluster only: CLUSTER SLOTS."""
    if not store.clustered:
        return [None]
    (reply,) = await store.transport.commands([(b"CLUSTER", b"SLOTS")], retry=True)
    firsts: dict[bytes, tuple[int, int]] = {}
    for first, last, (host, port, *_), *_replicas in unrefused([reply])[0]:
        firsts.setdefault(b"%b:%d" % (host or b"", port), (first, last))
    return [_key_between(first, last) for first, last in firsts.values()]


def _key_between(first: int, last: int) -> bytes:
    number = 0
    while not first <= slot_of(b"%d" % number) <= last:
        number += 1
    return b"%d" % number


async def ask(store: Store, place: Place, *commands: Command) -> list[Any]:
    """Replies of one primary; the first refusal is raised."""
    if place is None:
        return unrefused(await store.transport.commands(commands, retry=True))
    async with store.transport.session(place) as session:
        return unrefused(await session.send_many(commands))


def unrefused(replies: Sequence[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, RedisomError):
            raise reply
    return list(replies)


async def info(store: Store, place: Place, *sections: str) -> dict[str, str]:
    """What the server says of itself, by field. Redis: INFO."""
    require_server(store, f"INFO {' '.join(sections)}")
    replies = await ask(store, place, *((b"INFO", section) for section in sections))
    lines = [line for reply in replies for line in reply.decode("utf-8", "replace").splitlines()]
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


async def config_get(store: Store, place: Place, name: str) -> str:
    """One setting of the server. Redis: CONFIG GET. Raises `AccessDeniedError` where that is not allowed."""
    (pair,) = await _configure(store, place, name, (b"CONFIG", b"GET", name))
    return pair[1].decode() if pair else ""


async def config_set(store: Store, place: Place, name: str, value: str) -> None:
    """Change a setting until the server's next start. Redis: CONFIG SET. Errors as `config_get`."""
    await _configure(store, place, name, (b"CONFIG", b"SET", name, value))


async def _configure(store: Store, place: Place, name: str, command: Command) -> list[Any]:
    require_server(store, f"the setting {name}")
    try:
        return await ask(store, place, command)
    except BackendError as error:
        if isinstance(error, AccessDeniedError) or "unknown command" in str(error):
            raise AccessDeniedError(
                f"the server does not allow CONFIG: change {name} where it is managed (its console or its file)",
                code=error.code,
            ) from error
        raise


async def scan(store: Store, place: Place, pattern: bytes, step: int) -> AsyncGenerator[list[bytes]]:
    """Keys that match, page by page, possibly empty; one may come twice. Each page looks at about `step` keys."""
    async with store.transport.session(place) as session:
        cursor = b"0"
        while True:
            cursor, found = await session.send(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", step)
            yield list(found)
            if cursor in (b"0", 0):
                return
