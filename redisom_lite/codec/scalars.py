"""The codecs of single values whose text is readable as it is: text, numbers, times, UUIDs, bytes.

Units: a `datetime` and a `timedelta` score in microseconds (since 1970 UTC; a naive datetime counts as UTC),
a `time` in microseconds since midnight UTC, a `date` in days (`toordinal`). All of them are integers, and
computed as integers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic import SecretBytes, SecretStr
from pydantic_core import CoreSchema, core_schema

from redisom_lite import keys
from redisom_lite.codec.base import Codec, key_safe, utf8
from redisom_lite.codec.score import Number, Score, float_bound, score_of

_MICROSECOND = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)
_ZERO = timedelta()
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_STR: CoreSchema = core_schema.str_schema(
    strict=False, strip_whitespace=False, to_lower=False, to_upper=False, coerce_numbers_to_str=False
)


class StrCodec(Codec):
    """Text as UTF-8; ordered by code point, which is the byte order of UTF-8."""

    __slots__ = ()

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise self._refuse(value)
        return utf8(value)

    def operand(self, value: Any) -> Any:
        self.encode(value)
        return value

    lex = member = encode

    def token(self, value: Any) -> bytes:
        return key_safe(self.encode(value))

    def of_member(self, member: bytes) -> str:
        return member.decode()


class BytesCodec(Codec):
    """Bytes as they are."""

    __slots__ = ()

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, bytes):
            raise self._refuse(value)
        return bytes(value)


class UUIDCodec(Codec):
    """A UUID in its canonical text, whose order is that of the UUIDs."""

    __slots__ = ()

    def operand(self, value: Any) -> UUID:
        if not isinstance(value, UUID):
            raise self._refuse(value)
        return value

    def encode(self, value: Any) -> bytes:
        return str(self.operand(value)).encode()

    token = member = encode

    def of_member(self, member: bytes) -> UUID:
        return UUID(member.decode())


class NumberCodec(Codec):
    """A type of which every value (save NaN) stands for one real number.

    Instances of `types` are its values, but not those of `never` (a bool is an int to Python, a datetime a
    date); `text` writes one, `number` is what it scores.
    """

    __slots__ = ("_never", "_number", "_text", "_types")

    def __init__(
        self,
        name: str,
        core: CoreSchema,
        *,
        types: tuple[type, ...],
        never: tuple[type, ...] = (),
        text: Callable[[Any], str],
        number: Callable[[Any], Number],
    ) -> None:
        super().__init__(name, core)
        self._types, self._never = types, never
        self._text, self._number = text, number

    def _checked(self, value: Any) -> Any:
        if not isinstance(value, self._types) or isinstance(value, self._never):
            raise self._refuse(value)
        return value

    def operand(self, value: Any) -> Any:
        self.score(value)
        return value

    def encode(self, value: Any) -> bytes:
        return self._text(self._checked(value)).encode()

    def score(self, value: Any) -> Score:
        return score_of(self._number(self._checked(value)))


class BoolCodec(NumberCodec):
    """`1` and `0`, in an index as in a record."""

    __slots__ = ()

    def token(self, value: Any) -> bytes:
        return self.encode(value)


class IntCodec(NumberCodec):
    """An integer in decimal."""

    __slots__ = ()

    def operand(self, value: Any) -> Any:
        return self._checked(value)  # every int has a score

    def token(self, value: Any) -> bytes:
        return key_safe(self.encode(value))

    def member(self, value: Any) -> bytes:
        return keys.member_of_int(self._checked(value))

    def of_member(self, member: bytes) -> int:
        return keys.int_of_member(member)


class FloatCodec(NumberCodec):
    """A float in its shortest repr; an int is stored as a float, and as a bound keeps its own size."""

    __slots__ = ()

    def score(self, value: Any) -> Score:
        number = self._checked(value)
        return float_bound(int(number)) if isinstance(number, int) else score_of(float(number))


class SecretCodec(Codec):
    """A `SecretStr` or `SecretBytes`: what it hides is what is stored."""

    __slots__ = ("_type",)

    def __init__(self, secret: type[SecretStr | SecretBytes], core: CoreSchema) -> None:
        super().__init__(secret.__name__, core_schema.no_info_after_validator_function(secret, core))
        self._type = secret

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, self._type):
            raise self._refuse(value)
        hidden = value.get_secret_value()
        return utf8(hidden) if isinstance(hidden, str) else hidden


def _int_text(value: int) -> str:
    try:
        return str(int(value))
    except ValueError:
        raise ValueError(f"an integer of more than {keys.MAX_DIGITS} digits cannot be stored") from None


def _float_text(value: float) -> str:
    try:
        return repr(float(value))
    except OverflowError:
        raise ValueError("an integer too large for a float cannot be stored as one") from None


def _datetime_text(value: datetime) -> str:
    """ISO 8601; an offset of broken minutes (local mean time), unreadable to pydantic, becomes UTC."""
    if _whole_minutes(value.utcoffset()):
        return value.isoformat()
    try:
        return value.astimezone(UTC).isoformat()
    except OverflowError:
        raise ValueError("a datetime whose UTC is outside the years 1 to 9999 cannot be stored") from None


def _time_text(value: time) -> str:
    if _whole_minutes(value.utcoffset()):
        return value.isoformat()
    raise ValueError("a time whose UTC offset is not in whole minutes cannot be stored")


def _timedelta_text(value: timedelta) -> str:
    """ISO 8601 in days, seconds and, unless zero, microseconds: `P1DT2S`, `-P0DT0.500000S`."""
    size = abs(value)
    fraction = f".{size.microseconds:06d}" if size.microseconds else ""
    return f"{'-' if value < _ZERO else ''}P{size.days}DT{size.seconds}{fraction}S"


def _whole_minutes(offset: timedelta | None) -> bool:
    return not offset or not offset % _MINUTE


def datetime_number(value: datetime) -> int:
    return (value - (_EPOCH if value.utcoffset() is None else _EPOCH_UTC)) // _MICROSECOND


def _time_number(value: time) -> int:
    since = timedelta(
        hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
    )
    return (since - (value.utcoffset() or _ZERO)) // _MICROSECOND


def _timedelta_number(value: timedelta) -> int:
    return value // _MICROSECOND


_DECIMAL = core_schema.chain_schema([_STR, core_schema.decimal_schema(strict=False, allow_inf_nan=True)])

STR: Final = StrCodec("str", _STR)
UUID_: Final = UUIDCodec("UUID", core_schema.uuid_schema(strict=False))
BYTES: Final = BytesCodec("bytes", core_schema.bytes_schema(strict=False))
BOOL: Final = BoolCodec(
    "bool", core_schema.bool_schema(strict=False), types=(bool,), text=lambda v: "1" if v else "0", number=int
)
INT: Final = IntCodec(
    "int", core_schema.int_schema(strict=False), types=(int,), never=(bool,), text=_int_text, number=int
)
FLOAT: Final = FloatCodec(
    "float",
    core_schema.float_schema(strict=False, allow_inf_nan=True),
    types=(float, int),
    never=(bool,),
    text=_float_text,
    number=float,
)
DECIMAL: Final = NumberCodec(
    "Decimal",
    _DECIMAL,
    types=(Decimal, int),
    never=(bool,),
    text=lambda v: str(Decimal(v)),
    number=Decimal,
)
DATETIME: Final = NumberCodec(
    "datetime",
    core_schema.datetime_schema(strict=False),
    types=(datetime,),
    text=_datetime_text,
    number=datetime_number,
)
DATE: Final = NumberCodec(
    "date",
    core_schema.date_schema(strict=False),
    types=(date,),
    never=(datetime,),
    text=date.isoformat,
    number=date.toordinal,
)
TIME: Final = NumberCodec(
    "time", core_schema.time_schema(strict=False), types=(time,), text=_time_text, number=_time_number
)
TIMEDELTA: Final = NumberCodec(
    "timedelta",
    core_schema.timedelta_schema(strict=False),
    types=(timedelta,),
    text=_timedelta_text,
    number=_timedelta_number,
)
SECRET_STR: Final = SecretCodec(SecretStr, _STR)
SECRET_BYTES: Final = SecretCodec(SecretBytes, core_schema.bytes_schema(strict=False))
