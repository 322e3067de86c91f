"""What is written of a value is what its codec says, whether it is made or remembered."""

from __future__ import annotations

from typing import Any

import pytest

from redisom_lite import Key, Model, Range, Tag, Unique
from redisom_lite.schema.encoding import Encoded, encoder
from redisom_lite.schema.model_schema import Kind


class Sample(Model):
    id: Key[int]
    count: Range[int]
    weight: Range[float]
    name: Range[str | None]
    kind: Tag[str | None]
    open: Tag[bool]
    badge: Unique[str]
    title: str
    size: int | None


SCHEMA = Sample.__redisom_schema__


def _sample(n: int, **given: Any) -> dict[str, Any]:
    values = {
        "id": n,
        "count": -n,
        "weight": n / 7,
        "name": f"na\0me {n}" if n % 3 else None,
        "kind": f"k%{n}" if n % 4 else None,
        "open": bool(n % 2),
        "badge": str(n),
        "title": f"tïtle {n}" * (n % 40),
        "size": n if n % 5 else None,
    }
    return values | given


def _as_the_codecs_say(values: dict[str, Any]) -> tuple[list[bytes | None], list[bytes], list[bytes]]:
    row = [
        None if (value := values[spec.name]) is None else spec.codec.encode(value) for spec in SCHEMA.fields
    ]
    stored = [
        word
        for spec, text in zip(SCHEMA.fields, row, strict=True)
        if text is not None
        for word in (spec.word, text)
    ]
    items: list[bytes] = []
    for spec, text in zip(SCHEMA.fields, row, strict=True):
        value = values[spec.name]
        if spec.kind in (Kind.STORED, Kind.KEY, Kind.UNIQUE):
            continue
        if text is None:
            items += (b"0", spec.word)
        elif spec.kind is Kind.NUMBER:
            items += (b"z", spec.word, b"%.17g" % float(spec.codec.score(value).text))
        elif spec.kind is Kind.TEXT:
            items += (b"l", spec.word, text.replace(b"\0", b"\0\xff"))
        else:
            token = spec.codec.token(value)
            items += (b"=", spec.word, token) if token == text else (b"t", spec.word, b"1", token, text)
    return row, stored, items


def _told(encoded: Encoded) -> tuple[list[bytes | None], list[bytes], list[bytes]]:
    fields, items = list(encoded.fields), list(encoded.items)
    assert fields.pop(0) == b"%d" % len(fields)
    assert items.pop(0) == b"%d" % len(items)
    for at, word in enumerate(items):
        if word == b"z":  # a score may have several texts
            items[at + 2] = b"%.17g" % float(items[at + 2])
    return encoded.row, fields, items


def test_every_value_is_written_as_its_codec_says_the_first_time_and_later() -> None:
    samples = [_sample(n) for n in range(1500)]
    expected = [_as_the_codecs_say(values) for values in samples]
    for _ in range(2):
        assert [_told(encoder(SCHEMA).record(values)) for values in samples] == expected
        assert [encoder(SCHEMA).row(values) for values in samples] == [row for row, _, _ in expected]


@pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (1.0, 1.0000000000000002)])
def test_equal_and_near_values_of_other_texts_stay_apart(one: float, other: float) -> None:
    for weight in (one, other, one):
        encoded = encoder(SCHEMA).record(_sample(7, weight=weight), [SCHEMA.by_name["weight"]])
        assert encoded.row == [repr(weight).encode()]
        assert float(list(encoded.items)[3]) == weight


def test_part_of_a_record_tells_of_its_fields_alone() -> None:
    specs = [SCHEMA.by_name["size"], SCHEMA.by_name["kind"], SCHEMA.by_name["badge"]]
    encoded = encoder(SCHEMA).record(_sample(20), specs)
    assert encoded.row == [None, None, b"20"]
    assert encoded.nulls == [b"size", b"kind"]
    assert list(encoded.fields) == [b"2", b"badge", b"20"]
    assert list(encoded.items) == [b"2", b"0", b"kind"]
    assert list(encoded.claims) == [b"2", b"badge", b"20"]
    assert encoded.entries == b"tkind=1:%;ubadge=2:20;"
