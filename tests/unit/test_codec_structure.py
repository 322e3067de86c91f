"""Everything stored as JSON: back as it was, whatever the type does for validation and output."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from math import inf, isnan, nan
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis.strategies import (
    SearchStrategy,
    binary,
    builds,
    characters,
    dates,
    datetimes,
    decimals,
    dictionaries,
    floats,
    frozensets,
    integers,
    just,
    lists,
    none,
    sampled_from,
    sets,
    text,
    timedeltas,
    tuples,
    uuids,
)
from pydantic import (
    AfterValidator,
    AliasChoices,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PastDate,
    PlainSerializer,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    SerializerFunctionWrapHandler,
    WrapSerializer,
    computed_field,
    dataclasses as pydantic_dataclasses,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import SchemaValidator, core_schema
from typing_extensions import TypedDict

from redisom_lite.codec import Codec, collection_codecs, stored_codec

T = TypeVar("T")
MEAN_TIME = timezone(timedelta(hours=5, minutes=53, seconds=28))
NEW_YEAR = datetime(2024, 1, 1)


class Color(Enum):
    RED = "r"
    BLUE = "b"


class Mixed(Enum):
    NUMBER = 1
    TEXT = "1"


class Point(BaseModel):
    x: int
    y: int = 0


class Spot(BaseModel):
    x: int


class Tree(BaseModel):
    name: str
    children: list[Tree] = []
    parent: Tree | None = None


class Box(BaseModel, Generic[T]):
    content: T


class Tags(RootModel[set[int]]):
    pass


class Aliased(BaseModel):
    model_config = ConfigDict(alias_generator=str.upper, extra="forbid")
    one: int
    two: int = Field(default=0, validation_alias=AliasChoices("deux", "zwei"), serialization_alias="dos")


class Cat(BaseModel):
    kind: Literal["cat"] = Field("cat", alias="KIND")
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = Field("dog", alias="KIND")
    lives: int = 1


Animal = Annotated[Cat | Dog, Field(discriminator="kind")]


class Record(TypedDict):
    a: int
    b: Annotated[str, AfterValidator(lambda value: value + "!")]


class Pair(NamedTuple):
    a: int
    b: str


@dataclass
class Plain:
    x: int
    amounts: list[Decimal] = field(default_factory=list)


class Own:
    """A type that tells pydantic how it is made and written."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]  # mutable

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return core_schema.json_or_python_schema(
            core_schema.no_info_after_validator_function(cls, core_schema.int_schema()),
            core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda own: own.value),
        )


class Foreign:
    """A type that knows nothing of pydantic."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Foreign) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]  # mutable


def foreign(value: Any) -> Foreign:
    return value if isinstance(value, Foreign) else Foreign(value)


AnyForeign = Annotated[Foreign, BeforeValidator(foreign), PlainSerializer(lambda value: value.value)]


class HasForeign(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    one: AnyForeign
    many: list[AnyForeign] = []


def comes_back(declared: Any, value: Any) -> bytes:
    """Store and read a value; the text it was stored as."""
    codec = stored_codec(declared)
    text = codec.encode(value)
    back = codec.decode(text)
    assert back == value
    assert type(back) is type(value)
    assert codec.encode(back) == text
    assert SchemaValidator(codec.core).validate_python(text) == value
    return text


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        (list[int], [2, 1, 2], b"[2,1,2]"),
        (list[bytes], [b"\xff"], b'["_w=="]'),
        (list[float], [inf, -inf, 1.0, 0.1], b"[Infinity,-Infinity,1.0,0.1]"),
        (list[Color], [Color.RED], b'["r"]'),
        (list[Mixed], [Mixed.TEXT, Mixed.NUMBER], b'["1",1]'),
        (list[Literal[1, "1", True]], [1, "1", True], b'[1,"1",true]'),
        (list[int], [10**4000], b"[1" + b"0" * 4000 + b"]"),
        (list[PastDate], [date(2020, 1, 1)], b'["2020-01-01"]'),
        (list[timedelta], [timedelta.min, timedelta.max], None),
        (list[datetime], [NEW_YEAR.replace(tzinfo=MEAN_TIME)], b'["2023-12-31T18:06:32Z"]'),
        (tuple[int, str], (1, "a"), b'[1,"a"]'),
        (tuple[set[int], ...], ({2, 1},), b"[[1,2]]"),
        (set[int], {3, 20, 1}, b"[1,20,3]"),
        (frozenset[str], frozenset("cab"), b'["a","b","c"]'),
        (set[UUID], {UUID(int=1), UUID(int=0)}, None),
        (dict[str, set[int]], {"a": {2, 1}}, b'{"a":[1,2]}'),
        (dict[int, str], {1: "a"}, b'{"1":"a"}'),
        (dict[bytes, bytes], {b"\xff": b"\xfe"}, b'{"_w==":"_g=="}'),
        (dict[Color, int], {Color.RED: 1}, b'{"r":1}'),
        (dict[bool, float], {True: inf}, b'{"true":Infinity}'),
        (dict[datetime, int], {NEW_YEAR.replace(tzinfo=MEAN_TIME): 1}, b'{"2023-12-31T18:06:32Z":1}'),
        (dict[tuple[int, int], str], {(1, 2): "a"}, b'[[[1,2],"a"]]'),
        (dict[int | str, int], {1: 1, "1": 2}, b'[[1,1],["1",2]]'),
        (dict[int | None, int], {None: 1, 2: 3}, b"[[null,1],[2,3]]"),
        (dict[Mixed, int], {Mixed.NUMBER: 1, Mixed.TEXT: 2}, b'[[1,1],["1",2]]'),
        (dict[frozenset[int], Point], {frozenset({2, 1}): Point(x=1)}, b'[[[1,2],{"x":1,"y":0}]]'),
        (dict[str, Any], {"a": [1, 1.5, None, "x", True, {"b": []}]}, None),
        (dict, {"a": 1}, b'{"a":1}'),
        (list, [1, [2]], b"[1,[2]]"),
        (Any, {"a": [inf]}, b'{"a":[Infinity]}'),
        (deque[int], deque([2, 1]), b"[2,1]"),
        (OrderedDict[str, int], OrderedDict(b=1, a=2), b'{"b":1,"a":2}'),
        (defaultdict[str, list[int]], defaultdict(list, a=[1]), b'{"a":[1]}'),
        (Counter[str], Counter("aab"), b'{"a":2,"b":1}'),
        (Sequence[int], [1, 2], b"[1,2]"),
        (Mapping[str, int], {"a": 1}, b'{"a":1}'),
        (Path, Path("/a"), b'"/a"'),
        (IPv4Address, IPv4Address("1.2.3.4"), b'"1.2.3.4"'),
        (AnyUrl, AnyUrl("http://a.b/"), b'"http://a.b/"'),
        (complex, 1 + 2j, b'"1+2j"'),
        (int | str, "1", b'"1"'),
        (int | float, 1.0, b"1.0"),
        (int | float, 1, b"1"),
        (Decimal | float, Decimal("1.0"), b'"1.0"'),
        (Decimal | float, 1.0, b"1.0"),
        (Decimal | int, 1, b"1"),
        (UUID | str, UUID(int=0), None),
        (UUID | str, "x", b'"x"'),
        (bytes | int, b"\xff", b'"_w=="'),
        (date | datetime, NEW_YEAR, b'"2024-01-01T00:00:00"'),
        (datetime | date, date(2024, 1, 1), b'"2024-01-01"'),
        (list[float | str], ["NaN", 1.5], b'["NaN",1.5]'),
        (list[int | None], [None, 1], b"[null,1]"),
        (Point | None, Point(x=1), b'{"x":1,"y":0}'),
        (Point | Spot, Point(x=1, y=2), b'{"x":1,"y":2}'),
        (Cat | Dog, Dog(lives=3), b'{"kind":"dog","lives":3}'),
        (Animal, Dog(lives=3), b'{"kind":"dog","lives":3}'),
        (list[Animal], [Dog(lives=3), Cat()], b'[{"kind":"dog","lives":3},{"kind":"cat","lives":9}]'),
        (Box[set[int]], Box[set[int]](content={2, 1}), b'{"content":[1,2]}'),
        (dict[str, Box[Box[bytes]]], {"a": Box[Box[bytes]](content=Box[bytes](content=b"\xff"))}, None),
        (Tags, Tags({2, 1}), b"[1,2]"),
        (Tree, Tree(name="a", children=[Tree(name="b", parent=Tree(name="c"))]), None),
        (list[Tree], [Tree(name="a", children=[Tree(name="b")])], None),
        (Aliased, Aliased(ONE=1, deux=2), b'{"one":1,"two":2}'),
        (list[Aliased], [Aliased(ONE=1)], b'[{"one":1,"two":0}]'),
        (Record, {"a": 1, "b": "x"}, b'{"a":1,"b":"x"}'),
        (Pair, Pair(1, "b"), b'[1,"b"]'),
        (Plain, Plain(1, [Decimal("1.50")]), b'{"x":1,"amounts":["1.50"]}'),
        (Own, Own(3), b"3"),
        (dict[str, list[Own]], {"a": [Own(3)]}, b'{"a":[3]}'),
        (HasForeign, HasForeign(one=1, many=[2]), b'{"one":1,"many":[2]}'),
        (None, None, b"null"),
    ],
)
def test_encode_any_structure_comes_back_equal_and_of_its_type(
    declared: Any, value: Any, text: bytes | None
) -> None:
    stored = comes_back(declared, value)
    assert text is None or stored == text


any_text = text(alphabet=characters(exclude_categories=["Cs"]), max_size=5)
hashable: list[tuple[Any, SearchStrategy[Any]]] = [
    (int, integers()),
    (str, any_text),
    (bytes, binary(max_size=5)),
    (Decimal, decimals(allow_nan=False, allow_infinity=False)),
    (datetime, datetimes(timezones=none() | just(UTC))),
    (date, dates()),
    (timedelta, timedeltas()),
    (UUID, uuids()),
    (Color, sampled_from(Color)),
]


@pytest.mark.parametrize(("declared", "values"), [*hashable, (float, floats(allow_nan=False))])
def test_encode_collections_of_anything_comes_back(declared: Any, values: SearchStrategy[Any]) -> None:
    named = dictionaries(any_text, values, max_size=4)

    @given(lists(values, max_size=4), named, tuples(values, none() | values))
    def check(several: list[Any], by_name: dict[str, Any], pair: tuple[Any, Any]) -> None:
        comes_back(list[declared], several)
        comes_back(dict[str, declared], by_name)
        comes_back(tuple[declared, declared | None], pair)

    check()


@pytest.mark.parametrize(("declared", "values"), hashable)
def test_encode_sets_and_keys_of_anything_comes_back(declared: Any, values: SearchStrategy[Any]) -> None:
    keyed = dictionaries(values, integers(), max_size=4)

    @given(sets(values, max_size=4), frozensets(values, max_size=4), keyed)
    def check(some: set[Any], more: frozenset[Any], by_key: dict[Any, int]) -> None:
        comes_back(set[declared], some)
        comes_back(frozenset[declared], more)
        comes_back(dict[declared, int], by_key)

    check()


@given(lists(integers(0, 1000), unique=True), integers(0))
def test_encode_a_set_does_not_depend_on_how_it_was_filled(members: list[int], room: int) -> None:
    grown = set(range(room % 5000))
    grown.clear()
    grown.update(reversed(members))
    codec = stored_codec(set[int])
    assert codec.encode(grown) == codec.encode(set(members))


points = builds(Point, x=integers(), y=integers())
scalars = uuids() | integers() | floats(allow_nan=False) | any_text | none()


@given(points | scalars)
def test_encode_a_union_comes_back_or_is_refused(value: Any) -> None:
    codec = stored_codec(Point | UUID | int | float | str | None)
    try:
        encoded = codec.encode(value)
    except ValueError:
        UUID(value)  # text that reads as one
        return
    assert codec.decode(encoded) == value
    assert type(codec.decode(encoded)) is type(value)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (UUID | str, "00000000-0000-0000-0000-000000000000"),
        (Point | Spot, Spot(x=1)),
        (Any, (1, 2)),
        (Any, {1}),
        (dict[str, Any], {"at": NEW_YEAR}),
        (dict[str, Any], {"at": Point(x=1)}),
        (dict, {1: 2}),
        (list, [(1,)]),
        (Sequence[int], (1, 2)),
        (object, Path("/a")),
    ],
)
def test_encode_what_json_would_give_back_otherwise_is_refused(declared: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="would not come back as it is"):
        stored_codec(declared).encode(value)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        (list[str], ["secret\ud800"]),
        (list[time], [time(1, tzinfo=MEAN_TIME)]),
        (list[int], ["secret"]),
        (type[int], int),
        (Callable[[], int], int),
    ],
)
def test_encode_what_json_cannot_hold_is_refused_without_the_value(declared: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="cannot be stored as") as caught:
        stored_codec(declared).encode(value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_encode_an_iterator_is_refused() -> None:
    with pytest.raises(ValueError, match="Iterable"):
        stored_codec(Iterable[int]).encode(iter([1]))


@pytest.mark.parametrize("declared", [list[float], Any, list[float | str]])
def test_encode_nan_keeps_its_place(declared: Any) -> None:
    codec = stored_codec(declared)
    back = codec.decode(codec.encode([1.0, nan]))
    assert back[0] == 1.0
    assert isnan(back[1])


@pytest.mark.parametrize("stored", [b'{"surely": 1}', b"surely", b"[1", b'["surely"]'])
def test_decode_what_was_not_stored_as_this_type_is_refused_without_the_text(stored: bytes) -> None:
    with pytest.raises(ValueError, match=r"not of type list\[int\]") as caught:
        stored_codec(list[int]).decode(stored)
    assert "surely" not in str(caught.value)


def test_a_type_without_a_schema_is_refused_when_declared() -> None:
    with pytest.raises(TypeError, match=r"pydantic cannot validate or serialize list\[Foreign\]"):
        stored_codec(list[Foreign])


class Hostile(BaseModel):
    """What users do for validation and output, all of it without a say in what is stored."""

    model_config = ConfigDict(
        str_strip_whitespace=True, str_to_lower=True, ser_json_bytes="hex", val_json_bytes="hex"
    )

    number: int = Field(ge=0)
    shouted: Annotated[str, AfterValidator(lambda v: v + "!"), PlainSerializer(lambda v: "masked")] = "q"
    spaced: str = " A "
    data: bytes = b""
    hidden: int = Field(default=1, exclude=True)
    when: Annotated[datetime | None, PlainSerializer(lambda at: at and at.strftime("%d/%m"))] = None
    wrapped: Annotated[int, WrapSerializer(lambda value, handler: f"<{handler(value)}>")] = 1
    members: set[int] = set()

    @field_validator("number")
    @classmethod
    def _double(cls, value: int) -> int:
        return value * 2

    @field_validator("spaced", mode="before")
    @classmethod
    def _refuse(cls, value: str) -> str:
        raise AssertionError("ran on what is stored")

    @field_validator("data", mode="wrap")
    @classmethod
    def _wrap(cls, value: Any, handler: Any) -> bytes:
        return handler(value) + b"+"

    @model_validator(mode="before")
    @classmethod
    def _before(cls, values: Any) -> Any:
        return {**values, "number": 99} if "members" in values else values

    @model_validator(mode="after")
    def _after(self) -> Hostile:
        self.number += 1
        return self

    @field_serializer("number")
    def _write_number(self, value: int) -> str:
        return f"no. {value}"

    @computed_field
    def doubled(self) -> int:
        return 2 * self.number


class HostileHeir(Hostile):
    more: list[Hostile] = []

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"masked": handler(self)}

    @model_validator(mode="wrap")
    @classmethod
    def _wrap_all(cls, values: Any, handler: Any) -> Any:
        made = handler(values)
        made.number = -1
        return made


@pydantic_dataclasses.dataclass
class HostileData:
    x: int
    tags: set[str] = pydantic_dataclasses.Field(default_factory=set, alias="TAGS")

    @field_validator("x")
    @classmethod
    def _next(cls, value: int) -> int:
        return value + 1


CONTENT: dict[str, Any] = {
    "number": 3,
    "shouted": "Q",
    "spaced": " A ",
    "data": b"\xff",
    "hidden": 5,
    "when": NEW_YEAR,
    "wrapped": 7,
    "members": {2, 1},
}
STORED = (
    b'{"number":3,"shouted":"Q","spaced":" A ","data":"_w==","hidden":5,"when":"2024-01-01T00:00:00",'
    b'"wrapped":7,"members":[1,2]}'
)


def hostile() -> Hostile:
    return Hostile.model_construct(**CONTENT)


def hostile_heir() -> HostileHeir:
    return HostileHeir.model_construct(**CONTENT, more=[hostile()])


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        (Hostile, hostile(), STORED),
        (Hostile | None, hostile(), STORED),
        (list[Hostile], [hostile()], b"[" + STORED + b"]"),
        (dict[str, Box[Hostile]], {"a": Box[Hostile].model_construct(content=hostile())}, None),
        (HostileHeir, hostile_heir(), STORED[:-1] + b',"more":[' + STORED + b"]}"),
        (list[HostileData], [HostileData(1, TAGS={"b", "a"})], b'[{"x":2,"tags":["a","b"]}]'),
        (list[Annotated[str, AfterValidator(str.upper)]], ["a"], b'["a"]'),
    ],
)
def test_user_code_and_settings_do_not_touch_what_is_stored(
    declared: Any, value: Any, text: bytes | None
) -> None:
    stored = comes_back(declared, value)
    assert text is None or stored == text


def test_user_code_still_runs_where_users_expect_it() -> None:
    stored_codec(list[HostileData | Aliased | Hostile])
    assert HostileData(1).x == 2
    with pytest.raises(ValueError, match="ran on what is stored"):
        Hostile(number=1, spaced="a")
    assert Hostile(number=1).model_dump(include={"number", "shouted"}) == {
        "number": "no. 3",
        "shouted": "masked",
    }
    assert Aliased(ONE=1).model_dump(by_alias=True) == {"ONE": 1, "dos": 0}
    assert Hostile.__pydantic_complete__


def test_unknown_fields_of_a_nested_model_are_kept_where_allowed_and_else_ignored() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        x: int

    assert comes_back(Open, Open(x=1, y="z")) == b'{"x":1,"y":"z"}'
    assert stored_codec(list[Point]).decode(b'[{"x":1,"gone":2}]') == [Point(x=1)]
    assert stored_codec(list[Aliased]).decode(b'[{"one":1,"gone":2}]') == [Aliased(ONE=1)]


def test_a_nested_model_with_an_init_of_its_own_is_not_initialised_again() -> None:
    class Counted(BaseModel):
        x: int

        def __init__(self, **values: Any) -> None:
            super().__init__(x=values["x"] + 1)

    assert comes_back(list[Counted], [Counted(x=1)]) == b'[{"x":2}]'


def test_secrets_are_stored_and_not_their_stars() -> None:
    class Login(BaseModel):
        password: SecretStr
        pin: Annotated[SecretBytes, Field(min_length=1)]
        masked: SecretStr = SecretStr("x")
        born: Secret[date] | None = None

        @field_serializer("masked")
        def _mask(self, value: SecretStr) -> str:
            return "***"

    login = Login(password=SecretStr("p"), pin=SecretBytes(b"\xff"), born=Secret[date](date(2020, 1, 1)))
    expected = b'{"password":"p","pin":"_w==","masked":"x","born":"2020-01-01"}'
    assert comes_back(Login, login) == expected
    assert comes_back(list[SecretStr], [SecretStr("p")]) == b'["p"]'
    assert comes_back(Sequence[SecretStr], [SecretStr("p")]) == b'["p"]'
    assert comes_back(Secret[set[int]], Secret[set[int]]({2, 1})) == b"[1,2]"


def codecs(declared: Any) -> tuple[Codec, Codec]:
    found = collection_codecs(declared)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("declared", "value", "text", "tokens"),
    [
        (set[str], {"b", "a b"}, b'["a b","b"]', [b"a%20b", b"b"]),
        (frozenset[int], frozenset({2, 1}), b"[1,2]", [b"1", b"2"]),
        (list[Color], [Color.RED, Color.BLUE, Color.RED], b'["r","b","r"]', [b"b", b"r", b"r"]),
        (tuple[bool, ...], (True, False), b"[true,false]", [b"0", b"1"]),
        (set[Literal["x", 1]], {"x", 1}, b'["x",1]', [b"1", b"x"]),
        (set[Annotated[str, Field(min_length=1)]], {"a"}, b'["a"]', [b"a"]),
    ],
)
def test_collection_codecs_store_the_whole_and_token_the_members(
    declared: Any, value: Any, text: bytes, tokens: list[bytes]
) -> None:
    whole, member = codecs(declared)
    assert whole.encode(value) == text
    assert whole.decode(text) == value
    assert type(whole.decode(text)) is type(value)
    assert sorted(member.token(each) for each in value) == tokens


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        (dict[str, Point | None], "dict[str, Point | None]"),
        (tuple[Color, ...], "tuple[Color, ...]"),
        (list[Literal["a.b", 1]], "list[Literal['a.b', 1]]"),
        (Annotated[set[UUID], "note"], "set[UUID]"),
        (Box[int], "Box[int]"),
        (Any, "Any"),
        (re.Pattern[str], "Pattern[str]"),
    ],
)
def test_names_are_those_that_users_wrote(declared: Any, name: str) -> None:
    assert stored_codec(declared).name == name
