"""Text in one value, appended to and read in part."""

from __future__ import annotations

from redisom_lite.codec.base import utf8
from redisom_lite.containers.structure import Structure
from redisom_lite.errors import ConstraintError, DecodeError


class Text(Structure):
    """A text. Positions count characters, not bytes, from 0; those below zero count from the end.

    Reading or writing in the middle of text that is not all ASCII walks over it on the server: made for texts up to
    some hundred thousand characters.
    """

    kind = b"text"

    async def get(self) -> str:
        """The whole text, empty if there is none. Redis: GET."""
        (text,) = await self._read((b"GET", self._place.key))
        return self._text(text or b"")

    async def set(self, text: str) -> None:
        """Replace the whole text; its lifetime stays. Redis: SET KEEPTTL."""
        await self._write((b"SET", self._place.key, _utf8(text), b"KEEPTTL"))

    async def append(self, text: str) -> None:
        """Add text at the end, exactly once. Redis: APPEND."""
        await self._write((b"APPEND", self._place.key, _utf8(text)))

    async def slice(self, start: int = 0, stop: int | None = None) -> str:
        """What `text[start:stop]` is in Python. Redis: one EVALSHA of GET; only the slice travels."""
        _, part = await self._ask("text_slice", start, b"" if stop is None else stop)
        return self._text(part)

    async def write(self, start: int, text: str) -> int:
        """Put `text` over what stands at `start` (from 0) and after it, exactly once; the characters there are then.

        A gap before it is filled with spaces. Redis: GET, SET KEEPTTL in one step.
        """
        if start < 0:
            raise ConstraintError(f"{self._place.name}: write() starts at a position from 0 on")
        return int(await self._once("text_write", (start, _utf8(text))))

    async def len(self) -> int:
        """How many characters. Redis: one EVALSHA of GET."""
        size, _ = await self._ask("text_slice", 0, 0)
        return int(size)

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise DecodeError(f"{self.key} holds no UTF-8 text", key=self.key) from None


def _utf8(text: str) -> bytes:
    try:
        return utf8(text)
    except ValueError as error:
        raise ConstraintError(str(error)) from None
