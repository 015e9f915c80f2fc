"""The settings: one dictionary ``WALPOST``, read when it is needed, refused as a whole when it is wrong."""

from __future__ import annotations

import dataclasses
import difflib
import re
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

SETTING = "WALPOST"
DEFAULT_TABLE = "outbox"

#: Postgres cuts longer names, and a name that was cut is another name.
_MAX_NAME_BYTES = 63

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """The values in force. A field ``x_y`` is the key ``"X_Y"`` of the setting."""

    table: str = DEFAULT_TABLE
    """The outbox table, without schema: it is made in the first schema of the ``search_path``."""
    publication: str | None = "walpost"
    """The publication that migrations make; None if somebody else makes it."""
    slot: str = "walpost"
    """The replication slot of the relay, which this package never makes but looks at."""
    max_payload_bytes: int = 900_000
    """The largest payload. NATS takes 1 MiB for a message by default; the rest is for headers."""
    stream: str = "OUTBOX"
    """The relay's stream, for consumers."""
    nats: dict[str, Any] = dataclasses.field(default_factory=lambda: {"servers": "nats://127.0.0.1:4222"})
    """Where consumers find NATS: the arguments of ``nats.connect``."""
    correlation_id_header: str = "X-Correlation-ID"
    """The request header that the middleware takes a correlation id from."""
    causation_id_header: str = "X-Causation-ID"
    """The request header that the middleware takes a causation id from."""
    record_user: bool = True
    """Whether events carry the id of the request's user."""


@lru_cache(maxsize=1)
def config() -> Config:
    """Return the settings in force.

    Raises:
        ImproperlyConfigured: with every problem at once.

    """
    given = getattr(settings, SETTING, {})
    found = problems(given)
    if found:
        raise ImproperlyConfigured("\n".join(message for message, _ in found))
    return Config(**{key.lower(): value for key, value in given.items()})


def outbox_table() -> str:
    """Return the table's name while models are loaded: a wrong one is reported later, by the system checks."""
    given = getattr(settings, SETTING, {})
    return DEFAULT_TABLE if problems(given) else config().table


def problems(given: object) -> list[tuple[str, str]]:
    """Return what is wrong with a value of the setting: messages, each with its hint."""
    if not isinstance(given, dict):
        return [(f"{SETTING} is {type(given).__name__}, not a dictionary.", f"{SETTING} = {{}}")]
    found = []
    for key, value in given.items():
        field = _FIELDS.get(key)
        if field is None:
            near = difflib.get_close_matches(str(key), _FIELDS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(_FIELDS)}."
            found.append((f"{SETTING} has an unknown key {key!r}.", hint))
        elif (expected := _expectation(field.name, value)) is not None:
            found.append((f"{SETTING}[{key!r}] is {value!r}.", f"It must be {expected}."))
    return found


def _expectation(name: str, value: Any) -> str | None:
    """Return what the value of a field must be, if it is not."""
    match name:
        case "publication" if value is None:
            return None
        case "table" | "publication" | "slot" | "stream":
            if not isinstance(value, str) or not 0 < len(value.encode()) <= _MAX_NAME_BYTES:
                return f"a name of 1 to {_MAX_NAME_BYTES} bytes"
            if name == "table" and "." in value:
                return 'a name without schema; choose the schema by OPTIONS={"options": "-c search_path=..."}'
        case "max_payload_bytes":
            if type(value) is not int or value < 1:
                return "a number of bytes"
        case "nats":
            if not isinstance(value, dict):
                return "a dictionary: the arguments of nats.connect"
        case "record_user":
            if not isinstance(value, bool):
                return "True or False"
        case _:
            if not isinstance(value, str) or not _HEADER_NAME.fullmatch(value):
                return "the name of a request header"
    return None


@receiver(setting_changed)
def _forget(*, setting: str, **_: object) -> None:
    """Read the setting anew after a test has changed it."""
    if setting == SETTING:
        config.cache_clear()


_FIELDS = {field.name.upper(): field for field in dataclasses.fields(Config)}
