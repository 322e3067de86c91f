"""The warning that the server may evict index keys: asked once of a server, when a process first writes there.

Under `allkeys-*` policies any key may go, and an index key that goes takes a field of every record out of queries.
Under `volatile-*` only keys with a lifetime may, and no index key has one. Who may not ask (INFO is denied, or
`memory://` has none) is not warned, and nothing else changes.
"""

from __future__ import annotations

import logging
from typing import Any

from redisom_lite.engine.transport import Transport
from redisom_lite.errors import BackendError

logger = logging.getLogger("redisom_lite")


async def warn_of_eviction(transport: Transport) -> None:
    """Log a warning that names the policy if it can evict index keys. Redis: INFO memory."""
    try:
        (reply,) = await transport.commands([(b"INFO", b"memory")], retry=True)
    except BackendError:
        return  # the write that asked has succeeded, and is what counts
    policy = _policy(reply)
    if policy.startswith("allkeys"):
        logger.warning(
            "the server's maxmemory-policy is %s: it may evict index keys, and queries would then miss records; use "
            "noeviction, or a volatile policy with Meta(evictable=True), and repair with check(repair=True)",
            policy,
        )


def _policy(reply: Any) -> str:
    if not isinstance(reply, bytes):
        return ""  # an error, in place
    for line in reply.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "maxmemory_policy":
            return value.strip()
    return ""
