"""Every error the library raises, as one tree.

    RedisomError
    ├── DeclarationError            a model, field, index or URL that cannot work
    ├── NotBoundError               a model used before it has a database
    ├── QueryError                  a query that cannot be asked
    │   ├── UnindexedFieldError     it compares or orders by a field without an index
    │   └── IndexNotReadyError      its index is not built yet
    ├── RecordError                 about the records a call was asked to read or write
    │   ├── NotFoundError           there is none
    │   ├── AlreadyExistsError      the key is taken
    │   ├── MultipleFoundError      there are several where one was asked for
    │   ├── UniqueError             another live record owns the value (.field, .value_owner_pk)
    │   ├── ConstraintError         the result would leave its bounds
    │   └── DecodeError             what is stored is not what was declared (.key, .field)
    ├── ConflictError               someone else wrote first; retryable (.attempts, .keys)
    ├── CrossSlotError              the records of one step live in different slots
    ├── BulkError                   some of many failed (.errors: position and exception of each)
    └── BackendError                Redis or the way to it failed (.outcome: "none" or "unknown")
        ├── UnavailableError        no connection, or it broke
        ├── BackendTimeoutError     no answer in time
        ├── OutOfMemoryError        the server is at maxmemory
        ├── ReadOnlyError           a replica was asked to write
        ├── AccessDeniedError       credentials or ACL
        └── LoadingError            the server is starting or busy

Besides these, pydantic's own `ValidationError` and cancellation, nothing leaves the library.

Rules: the message comes first and is the whole of `str(error)`; it names the model, the field and the
cure, and never holds a stored value or a primary key. What a program needs to know is an attribute,
keyword-only and with a default, so that every error survives pickling.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

Outcome: TypeAlias = Literal["none", "unknown"]
"""`"none"`: the step had no effect. `"unknown"`: it may have been applied before the failure."""


class RedisomError(Exception):
    """Base of every error of this library."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)


class DeclarationError(RedisomError):
    """A declaration that cannot work: a model, a field, an index, a lifetime or a database URL."""


class NotBoundError(RedisomError):
    """A model was used before `Meta(db=...)` or `db.bind(...)` gave it a database."""


class QueryError(RedisomError):
    """A query that cannot be asked, refused before anything is sent."""


class UnindexedFieldError(QueryError):
    """A query compares or orders by a field that has no index."""


class IndexNotReadyError(QueryError):
    """An index the query needs is still building, or another release left it dirty: run `reindex`."""


class RecordError(RedisomError):
    """A call failed because of the records it names; `model` and `pk` say which, when one is to blame."""

    def __init__(self, message: str = "", *, model: str | None = None, pk: object = None) -> None:
        super().__init__(message)
        self.model = model
        self.pk = pk


class NotFoundError(RecordError):
    """There is no such live record."""


class AlreadyExistsError(RecordError):
    """The primary key is taken by a live record."""


class MultipleFoundError(RecordError):
    """More than one record answers where exactly one was asked for."""


class UniqueError(RecordError):
    """A live record, `value_owner_pk`, already has the value wanted for the unique `field`."""

    def __init__(
        self,
        message: str = "",
        *,
        field: str = "",
        value_owner_pk: object = None,
        model: str | None = None,
        pk: object = None,
    ) -> None:
        super().__init__(message, model=model, pk=pk)
        self.field = field
        self.value_owner_pk = value_owner_pk


class ConstraintError(RecordError):
    """A change made on the server would leave its bounds, or has nothing to work on; nothing was written."""

    def __init__(
        self, message: str = "", *, field: str = "", model: str | None = None, pk: object = None
    ) -> None:
        super().__init__(message, model=model, pk=pk)
        self.field = field


class DecodeError(RecordError):
    """What is stored under `key` in `field` is not what the model declares."""

    def __init__(
        self,
        message: str = "",
        *,
        key: str = "",
        field: str = "",
        model: str | None = None,
        pk: object = None,
    ) -> None:
        super().__init__(message, model=model, pk=pk)
        self.key = key
        self.field = field


class ConflictError(RedisomError):
    """Something read has changed before the write; running the work again may succeed.

    `attempts` counts the runs made, `keys` names the record keys that were watched.
    """

    def __init__(self, message: str = "", *, attempts: int = 1, keys: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.keys: tuple[str, ...] = tuple(keys)


class CrossSlotError(RedisomError):
    """The records of one atomic step live in different slots of a cluster; nothing was sent."""


class BulkError(RedisomError):
    """Some of many records failed; `errors` lists `(position, exception)`, the others were written."""

    def __init__(self, message: str = "", *, errors: Iterable[tuple[int, Exception]] = ()) -> None:
        super().__init__(message)
        self.errors: list[tuple[int, Exception]] = list(errors)


class BackendError(RedisomError):
    """Redis, or the way to it, failed; `__cause__` is what the driver raised, when it raised something.

    `outcome` is `"none"` if the step certainly had no effect and `"unknown"` if it may have had one.
    `code` is the first word of the server's error reply (`"OOM"`, `"WRONGTYPE"`, `"ERR"`), if there was one.
    """

    def __init__(self, message: str = "", *, outcome: Outcome = "none", code: str = "") -> None:
        super().__init__(message)
        self.outcome: Outcome = outcome
        self.code = code


class UnavailableError(BackendError):
    """The server could not be reached, or the connection broke."""


class BackendTimeoutError(BackendError):
    """The server did not answer within the deadline of the step, retries included."""


class OutOfMemoryError(BackendError):
    """The server is at `maxmemory` and refuses what needs more; reads and deletes still work."""


class ReadOnlyError(BackendError):
    """A write reached a replica."""


class AccessDeniedError(BackendError):
    """Wrong or missing credentials, or an ACL that forbids the command or the key."""


class LoadingError(BackendError):
    """The server is up and not ready to answer: loading its data, or busy with a long script."""
