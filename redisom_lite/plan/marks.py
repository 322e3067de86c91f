"""Marks that stand for operands while a shape is planned, and what the words of that plan are then made into.

A mark names an operand and the form in which it is wanted: `02 name form 03`. Whatever else is in the words of a plan
(names of fields, numbers, signs) holds no control character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from operator import attrgetter
from typing import Any, Final, TypeAlias

from redisom_lite.codec import Score
from redisom_lite.keys import escape_text
from redisom_lite.plan.expression import (
    And,
    Condition,
    HasToken,
    IsNone,
    KeyIn,
    Not,
    NumberRange,
    Or,
    TextPrefix,
)
from redisom_lite.plan.shape import Operand, Outline, Shape
from redisom_lite.words import WORD, Words, packed

_MARK: Final = re.compile(rb"\x02(\d{4})([a-z])\x03")
_FORMS: Final[Mapping[bytes, Callable[[Any], bytes]]] = {
    b"t": attrgetter("text"),
    b"d": attrgetter("decimal"),
    b"e": escape_text,
    b"p": bytes,  # as it is
}


def _mark(name: bytes, form: bytes) -> bytes:
    return b"\x02%b%b\x03" % (name, form)


class _MarkedScore(Score):
    """A mark for a number, which is exact, and as great as its name."""

    __slots__ = ()

    def __init__(self, name: bytes) -> None:
        super().__init__(_mark(name, b"t"), float(name), None, int(name))

    @property
    def decimal(self) -> bytes:
        return self.text.replace(b"t", b"d")


def marked(shape: Shape) -> tuple[tuple[Condition, ...], dict[bytes, int]]:
    """Conditions of a shape with marks for operands; and which operand each name stands for.

    Marks of one column are to each other as the operands are: in the same order, or the same.
    """
    columns = [column for outline in shape.outlines for column in _columns(outline)]
    numbers = {column: number for number, column in enumerate(dict.fromkeys(columns))}
    ranks = shape.ranks or (0,) * len(columns)
    names = [b"%02d%02d" % (numbers[column], rank) for column, rank in zip(columns, ranks, strict=True)]
    left = iter(names)
    where = tuple([_condition(outline, left) for outline in shape.outlines])
    return where, {name: names.index(name) for name in names}


def _columns(outline: Outline) -> list[Any]:
    """The column of each operand."""
    kind, subject, *more = outline
    if kind is And or kind is Or:
        return [column for item in subject for column in _columns(item)]
    return _columns(subject) if kind is Not else [subject] * (more[0] if more else 0)


def _condition(outline: Outline, names: Iterator[bytes]) -> Condition:
    """The condition of an outline, with marks of the next names."""
    kind, subject, *more = outline
    if kind is And or kind is Or:
        return kind(tuple([_condition(item, names) for item in subject]))
    if kind is Not:
        return Not(_condition(subject, names))
    if kind is IsNone:
        return IsNone(subject)
    own = list(islice(names, more[0]))
    if kind is HasToken or kind is KeyIn:
        return kind(subject, tuple([_mark(name, b"p") for name in own]))
    marks: list[Any] = [_MarkedScore(name) if kind is NumberRange else _mark(name, b"e") for name in own]
    if kind is TextPrefix:
        return TextPrefix(subject, *marks)
    _, has_low, low_open, high_open = more
    low = marks.pop(0) if has_low else None
    high = marks.pop() if marks else None
    found: Condition = kind(subject, low, high, low_open, high_open)
    return found


_Hole: TypeAlias = tuple[list[int], int, Callable[[Any], bytes]]
"""Which pieces are the same word, which operand, and how the word is made of it."""


class Template:
    """Words planned with marks, each a hole for the operand it stands for; what is between them is packed."""

    def __init__(self, words: Sequence[bytes], operands: Mapping[bytes, int]) -> None:
        self._words = words
        self._length = len(words)
        self._pieces: list[bytes] = []
        self._holes: dict[bytes, _Hole] = {}
        between: list[bytes] = []
        for word in words:
            mark = _MARK.search(word) if operands else None
            if mark is None:
                between.append(word)
                continue
            self._pieces += (packed(*between), b"")
            between.clear()
            places, *_ = self._holes.setdefault(word, ([], operands[mark[1]], _word(mark)))
            places.append(len(self._pieces) - 1)
        self._pieces.append(packed(*between))

    def filled(self, operands: Sequence[Operand]) -> Words:
        """The words with these operands."""
        pieces = [*self._pieces]
        for places, which, make in self._holes.values():
            word = make(operands[which])
            word = WORD % (len(word), word)
            for place in places:
                pieces[place] = word
        return Words(self._length, pieces)

    @cached_property
    def told(self) -> bytes:
        """The words in one, as statements.lua reads them; a hole is `02` and its number, from 1."""
        numbers = {word: b"\x02%d" % number for number, word in enumerate(self._holes, start=1)}
        return told([numbers.get(word, word) for word in self._words])

    def operands(self, operands: Sequence[Operand]) -> Words:
        """The words in the holes, in the order of their numbers."""
        words = [make(operands[which]) for _, which, make in self._holes.values()]
        return Words(len(words), [WORD % (len(word), word) for word in words])


def told(words: Iterable[bytes]) -> bytes:
    """Words without control characters in one."""
    return b"".join([word + b"\x01" for word in words])


def _word(match: re.Match[bytes]) -> Callable[[Any], bytes]:
    """What makes a word with a mark of an operand."""
    before, make, after = match.string[: match.start()], _FORMS[match[2]], match.string[match.end() :]
    if before or after:
        return lambda operand: before + make(operand) + after
    return make
