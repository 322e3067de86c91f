"""What the data weigh, what the server does when it is full, and keeping below that.

    report(db)                       used, peak, limit, policy, pressure
    policy(db)  set_policy  judge    what each eviction policy would take from the declared models
    set_limit(db, "256mb")           the server's maxmemory
    usage(Product)                   bytes of records and of indexes, by sampling
    trim(Event, to=10_000)           remove the oldest records, through the mapper
    keep_within({Event: "20mb"})     budgets: trim what exceeds its own
    on_pressure(db, 0.8, callback)   call when memory runs short, while a block runs

Sizes are bytes (int) or text such as "512kb", "64mb", "1gb" (powers of 1024). All of it but `trim` to a number of
records needs a server; `memory://` is none.
"""

from redisom_lite.memory.policies import POLICIES, EvictionWarning, Judgement, Policy
from redisom_lite.memory.pressure import Monitor, on_pressure
from redisom_lite.memory.server import (
    MemoryReport,
    judge,
    policy,
    report,
    set_limit,
    set_policy,
    warn_of_eviction,
)
from redisom_lite.memory.sizes import Size
from redisom_lite.memory.trimming import keep_within, trim
from redisom_lite.memory.usage import Usage, usage

__all__ = [
    "POLICIES",
    "EvictionWarning",
    "Judgement",
    "MemoryReport",
    "Monitor",
    "Policy",
    "Size",
    "Usage",
    "judge",
    "keep_within",
    "on_pressure",
    "policy",
    "report",
    "set_limit",
    "set_policy",
    "trim",
    "usage",
    "warn_of_eviction",
]
