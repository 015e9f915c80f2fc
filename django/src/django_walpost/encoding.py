"""Payloads as text and bytes: JSON by Django's encoder, exactly as it goes into the column."""

from __future__ import annotations

import json
import re
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from django_walpost.exceptions import PayloadNotSerializable

_BYTES = (bytes, bytearray, memoryview)

#: The escape of the character that Postgres cannot store, behind an even number of backslashes.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

#: Not ASCII only, so that a length here is the length in the message. Blanks as Postgres prints them.
_encoder = DjangoJSONEncoder(ensure_ascii=False, allow_nan=False)


def json_text(value: Any) -> str:
    """Return a value as JSON text that Postgres takes as ``jsonb``.

    Raises:
        PayloadNotSerializable: something in it has no form in JSON, or none in Postgres.

    """
    if isinstance(value, _BYTES):
        return _json_from_bytes(bytes(value))
    try:
        text = _encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadNotSerializable(f"The payload is not JSON: {error}.") from error
    return _storable(text)


def json_bytes(value: Any) -> bytes:
    """Return a value for a binary column: bytes as they are, anything else as JSON in UTF-8."""
    if isinstance(value, _BYTES):
        return bytes(value)
    return json_text(value).encode()


def _json_from_bytes(value: bytes) -> str:
    """Return bytes that are JSON already."""
    try:
        text = value.decode()
        json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise PayloadNotSerializable(
            f"The payload column holds JSON, and these bytes are not JSON in UTF-8: {error}. For binary "
            "payloads make a model of your own from AbstractOutboxEvent, with payload = BinaryField(null=True)."
        ) from error
    return _storable(text)


def _storable(text: str) -> str:
    """Return the text if Postgres can hold it."""
    if "\\u0000" in text and _NUL.search(text):
        raise PayloadNotSerializable("The payload has a text with a NUL character, which jsonb cannot hold.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise PayloadNotSerializable(f"The payload has a text that is not Unicode: {error}.") from error
    return text


def _refuse_constant(name: str) -> None:
    """Refuse what Python reads and JSON does not know."""
    raise ValueError(f"{name} is not JSON")
