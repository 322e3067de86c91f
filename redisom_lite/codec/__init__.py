"""One codec per type: how its values are stored, scored, ordered, and named in keys. See `Codec`."""

from redisom_lite.codec.base import NONE_TOKEN, Codec
from redisom_lite.codec.declared import (
    collection_codecs,
    key_codec,
    number_codec,
    shared_token,
    stored_codec,
    tag_codec,
    text_codec,
)
from redisom_lite.codec.score import Score
from redisom_lite.codec.stored_schema import built_anew

__all__ = [
    "NONE_TOKEN",
    "Codec",
    "Score",
    "built_anew",
    "collection_codecs",
    "key_codec",
    "number_codec",
    "shared_token",
    "stored_codec",
    "tag_codec",
    "text_codec",
]
