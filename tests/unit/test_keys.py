"""Keys: what is injective is, what keeps an order keeps it, and no two models share a key."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis.strategies import binary, integers, lists, none, sampled_from, text, tuples

from redisom_lite import keys

FORBIDDEN = re.compile(rb"[\x00-\x20:{}*?\[\]^\\\x7f-\xff]")
EXACT_SUFFIXES = (b":k", b":due", b":memo", b":meta", b":op")
SUFFIXES = (*EXACT_SUFFIXES, b":r:", b":i:", b":x:", b":t:", b":v:", b":c:", b":u:")
NAMES = text(alphabet="3k:{}%/ir", min_size=1, max_size=4)
NAMESPACES = text(alphabet="3k:%/", max_size=3)
PARTITIONS = none() | integers(0, 40)

small = integers(-(10**6), 10**6)
large = integers(1, 70).flatmap(lambda digits: integers(-(10**digits), 10**digits))
huge = integers(-(10**4200), 10**4200)
ints = small | large | huge


@given(binary())
@example(b"%41")
@example(b"a:b{c}")
def test_encode_any_bytes_is_key_safe_and_reversible(part: bytes) -> None:
    encoded = keys.encode(part)
    assert keys.decode(encoded) == part
    assert FORBIDDEN.search(encoded) is None


def test_encode_special_bytes_become_upper_case_hex() -> None:
    assert keys.encode(b"a b%:\\\xff\n") == b"a%20b%25%3A%5C%FF%0A"
    assert keys.encode(b"user-1_2.3~/@") == b"user-1_2.3~/@"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (("", "product", None), b"{product}"),
        (("shop", "product", None), b"{shop:product}"),
        (("shop", "product", 3), b"{shop:product:3}"),
        (("", "product", 3), b"{product:3}"),
        (("", "shop:product", None), b"{shop%3Aproduct}"),
        (("shop", "30", None), b"{shop:%330}"),
    ],
)
def test_hash_tag_is_readable(tag: tuple[str, str, int | None], expected: bytes) -> None:
    assert keys.hash_tag(*tag) == expected


@given(tuples(NAMESPACES, NAMES, PARTITIONS), tuples(NAMESPACES, NAMES, PARTITIONS))
@example(("ns", "3", None), ("", "ns", 3))
@example(("a", "b", 3), ("a:b", "3", None))
def test_hash_tag_of_different_models_or_partitions_differs(
    one: tuple[str, str, int | None], other: tuple[str, str, int | None]
) -> None:
    assert (keys.hash_tag(*one) == keys.hash_tag(*other)) == (one == other)


@given(NAMESPACES, NAMES, PARTITIONS)
def test_hash_tag_is_what_redis_hashes(namespace: str, name: str, partition: int | None) -> None:
    tag = keys.hash_tag(namespace, name, partition)
    assert tag[:1] == b"{"
    assert tag.index(b"}") == len(tag) - 1 > 1


MODELS = tuples(NAMESPACES, NAMES, none() | NAMES, PARTITIONS)


def key_of(model: tuple[str, str, str | None, int | None], suffix: bytes, part: bytes) -> bytes:
    return keys.base(*model) + suffix + (b"" if suffix in EXACT_SUFFIXES else keys.encode(part))


@given(MODELS, MODELS, sampled_from(SUFFIXES), sampled_from(SUFFIXES), binary(max_size=3), binary(max_size=3))
@example(("", "i", "shop", None), ("", "shop", None, None), b":k", b":i:", b"", b"k")
@example(("", "k", "shop", None), ("", "shop", None, None), b":k", b":k", b"", b"")
@example(("", "r", "shop", None), ("", "shop", None, None), b":op", b":r:", b"", b"op")
def test_base_of_different_models_never_makes_one_key(
    one: tuple[str, str, str | None, int | None],
    other: tuple[str, str, str | None, int | None],
    suffix: bytes,
    other_suffix: bytes,
    part: bytes,
    other_part: bytes,
) -> None:
    assert one == other or key_of(one, suffix, part) != key_of(other, other_suffix, other_part)


def test_base_of_grouped_models_has_one_hash_tag() -> None:
    assert keys.base("shop", "order", group="sales") == b"{shop:sales}/order"
    assert keys.base("shop", "item", group="sales", partition=2) == b"{shop:sales:2}/item"
    assert keys.base("shop", "sales") == b"{shop:sales}"


def test_partition_of_never_changes() -> None:
    assert [keys.partition_of(member, 8) for member in (b"", b"a", b"42", b"\xff")] == [0, 3, 0, 0]
    assert keys.partition_of(b"anything", 1) == 0


@pytest.mark.parametrize(
    ("value", "member"),
    [
        (0, b"10"),
        (5, b"15"),
        (42, b"242"),
        (10**9, b"A1000000000"),
        (-5, b"-y4"),
        (-42, b"-x57"),
        (10**59, b"y1" + b"0" * 59),
        (10**60, b"z00611" + b"0" * 60),
        (-(10**60), b"-099388" + b"9" * 60),
    ],
)
def test_member_of_int_has_the_documented_form(value: int, member: bytes) -> None:
    assert keys.member_of_int(value) == member


@given(ints, ints)
@example(0, -1)
@example(10**60 - 1, 10**60)
@example(-(10**60) + 1, -(10**60))
def test_member_of_int_keeps_numeric_order(one: int, other: int) -> None:
    assert (keys.member_of_int(one) < keys.member_of_int(other)) == (one < other)


def test_member_of_int_neighbours_of_every_length_keep_order() -> None:
    edges = sorted(
        {sign * (10**digits + step) for digits in range(130) for sign in (1, -1) for step in (-1, 0, 1)}
    )
    members = [keys.member_of_int(edge) for edge in edges]
    assert members == sorted(members)


@given(ints)
def test_int_of_member_gives_the_int_back(value: int) -> None:
    assert keys.int_of_member(keys.member_of_int(value)) == value


@given(binary(max_size=8) | text(alphabet="-0129zyAx_ ", max_size=8).map(str.encode))
@example(b"")
@example(b"-")
@example(b"-z")
@example(b"205")
@example(b"1_")
@example(b"-y9")
def test_int_of_member_refuses_what_is_no_member(member: bytes) -> None:
    try:
        value = keys.int_of_member(member)
    except ValueError:
        return
    assert keys.member_of_int(value) == member


def test_member_of_int_with_too_many_digits_is_refused() -> None:
    assert keys.int_of_member(keys.member_of_int(-(10**4300) + 1)) == -(10**4300) + 1
    with pytest.raises(ValueError, match="4300 digits"):
        keys.member_of_int(10**4300)


pieces = sampled_from([b"\0", b"\xff", b"\1", b"a"])
awkward = binary(max_size=6) | lists(pieces, max_size=6).map(b"".join)


@given(tuples(awkward, awkward), tuples(awkward, awkward))
def test_text_member_keeps_the_order_of_pairs(one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> None:
    assert (keys.text_member(*one) < keys.text_member(*other)) == (one < other)


@given(awkward, awkward)
def test_split_text_member_gives_the_pair_back(value: bytes, member: bytes) -> None:
    assert keys.split_text_member(keys.text_member(value, member)) == (value, member)


def test_split_text_member_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="text index"):
        keys.split_text_member(b"abc")


texts = text(alphabet="a\0b\U0010ffff", max_size=4).map(str.encode)


@given(texts, texts, texts)
def test_escape_text_bounds_are_those_of_prefix_and_value(value: bytes, wanted: bytes, member: bytes) -> None:
    entry = keys.text_member(value, member)
    start = keys.escape_text(wanted)
    assert (start <= entry < start + b"\xff") == value.startswith(wanted)
    assert (start + keys.TEXT_END <= entry < start + b"\0\1") == (value == wanted)
