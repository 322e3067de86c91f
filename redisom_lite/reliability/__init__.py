"""A second server that has the data too, and knowing what would survive.

Mirror(primary, backup)      write to both, read from the backup when the primary cannot, verify by digests
persistence(db)              RDB and AOF: what is on, when it last worked; `set_persistence` changes it
saved(db)                    a barrier: everything written so far is on disk, or on replicas
Retry(attempts=5)            try again what failed for the moment, with growing pauses and full jitter
health(db)                   one report of all that can be wrong with a server
"""

from redisom_lite.reliability.comparing import Verification
from redisom_lite.reliability.health import Check, Health, health
from redisom_lite.reliability.mirror import Counts, Lag, Mirror, Mode
from redisom_lite.reliability.persistence import Barrier, Persistence, persistence, saved, set_persistence
from redisom_lite.reliability.retrying import Retry

__all__ = [
    "Barrier",
    "Check",
    "Counts",
    "Health",
    "Lag",
    "Mirror",
    "Mode",
    "Persistence",
    "Retry",
    "Verification",
    "health",
    "persistence",
    "saved",
    "set_persistence",
]
