"""Lifetimes of keys and records: look at them, set, extend and take them away, one or many at a time.

    keys(db, "upload:456", ...)      keys by name
    matching(db, "temp:*")           keys by pattern, found by SCAN at a bounded rate
    records(Session)                 records of a model or of a query

Each gives a `Selection`: iterate it, `set`, `extend`, `persist` (with `dry_run`, `progress`), `histogram`. Names and
patterns are of whole keys as the server has them, the namespace included. A key that is a record of a model goes
through the mapper, as its deadline is noted in the model's indexes too; index keys never get a lifetime.
"""

from redisom_lite.expiry.histogram import Bucket, Histogram
from redisom_lite.expiry.selection import Changed, Entry, Selection, keys, matching, records

__all__ = ["Bucket", "Changed", "Entry", "Histogram", "Selection", "keys", "matching", "records"]
