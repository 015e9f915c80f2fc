"""What an endpoint of webhooks may hold: the rules of walpost, so that nothing is stored that it would not serve.

walpost reads the rows, and has the last word: which addresses and ports it may connect to is known to it alone. The
cases in ``tests/fixtures/webhook_endpoints.json`` are judged by both.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets as random
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMATS = ("raw", "envelope", "cloudevents")
ORDERINGS = ("none", "aggregate")
STARTS = ("new", "all")

_NAME = re.compile(r"[a-z0-9_-]{1,40}")
_DURATION = re.compile(r"([0-9]{1,18})(ms|s|m|h|d)")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")
_OUR_HEADERS = frozenset(
    (
        "accept", "connection", "content-length", "content-type", "expect", "host", "te", "trailer",
        "transfer-encoding", "upgrade", "user-agent",
    )
)  # fmt: skip
_OUR_PREFIXES = ("webhook-", "walpost-", "proxy-")

_LONGEST_URL_BYTES = 2048
_SECRET_BYTES = range(24, 65)
_SEED_BYTES = 32
_MOST_PAUSES = 100
_MINUTE_MS, _DAY_MS = 60_000, 86_400_000


def new_secret() -> str:
    """Return a new secret: ``whsec_`` and the base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(random.token_bytes(32)).decode()


def check_name(name: str) -> None:
    """Refuse what is no name."""
    if not _NAME.fullmatch(name):
        _refuse("A name has 1 to 40 of a-z, 0-9, _ and -.")


def check_url(url: str, *, plain_http: bool) -> None:
    """Refuse what is no URL that walpost sends to."""
    if len(url.encode()) > _LONGEST_URL_BYTES:
        _refuse(f"A URL has at most {_LONGEST_URL_BYTES} bytes.")
    try:
        parts = urlsplit(url)
        host, has_user = parts.hostname, "@" in parts.netloc
        _ = parts.port
    except ValueError:
        host, has_user = None, False
    scheme = url.partition(":")[0].lower()
    if not host or any(c.isspace() for c in url):
        _refuse("This is not a URL such as https://example.com/hook.")
    if scheme == "http" and not plain_http:
        _refuse("http is not encrypted: use https, or allow plain http.")
    if scheme not in {"http", "https"}:
        _refuse("Only https is spoken.")
    if has_user:
        _refuse("A user or password in the URL is not sent: use a header.")
    if "#" in url:
        _refuse("What follows # is never sent.")


def check_secret(secret: str) -> None:
    """Refuse what nothing can be signed with. The message says nothing of it."""
    prefix, _, encoded = secret.partition("_")
    if prefix not in {"whsec", "whsk"} or "_" not in secret:
        _refuse("A secret begins with whsec_, or with whsk_ if it is an Ed25519 key.")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key or base64.b64encode(key).decode() != encoded:
        _refuse("What follows the prefix of a secret must be base64.")
    if prefix == "whsec" and len(key) not in _SECRET_BYTES:
        _refuse(f"A secret has 24 to 64 bytes; this one has {len(key)}.")
    if prefix == "whsk" and len(key) not in {_SEED_BYTES, 2 * _SEED_BYTES}:
        _refuse("What follows whsk_ must be the seed of an Ed25519 key.")


def check_secrets(secrets: Iterable[Any]) -> None:
    """Refuse secrets of which one is none."""
    for secret in secrets:
        if not isinstance(secret, str):
            _refuse("Secrets are texts.")
        check_secret(secret)


def check_subjects(subjects: Iterable[str]) -> None:
    """Refuse filters that filter no subjects."""
    for subject in subjects:
        words = subject.split(".")
        is_wrong = any(c.isspace() or not c.isprintable() for c in subject) or any(
            word == "" or (word not in {"*", ">"} and ("*" in word or ">" in word)) for word in words
        )
        if is_wrong or ">" in words[:-1]:
            _refuse(f"{subject!r} is not a filter: words with dots between them, * for one, > for the rest.")


def check_headers(headers: Any) -> None:
    """Refuse headers that HTTP cannot carry, or that are walpost's own. The message says no value."""
    if not isinstance(headers, dict):
        _refuse("Headers are an object of texts.")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            _refuse(f"{name!r} is not the name of a header.")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            _refuse(f"The value of {name} cannot stand in a header.")
        if name.lower() in _OUR_HEADERS or name.lower().startswith(_OUR_PREFIXES):
            _refuse(f"walpost sets the header {name} itself.")


def check_retries(pauses: list[str]) -> None:
    """Refuse a schedule that has no end, or pauses that are none."""
    if len(pauses) > _MOST_PAUSES:
        _refuse(f"There are at most {_MOST_PAUSES} pauses.")
    for pause in pauses:
        _check_duration(pause, least_ms=0, most_ms=7 * _DAY_MS)


def check_timeout(text: str) -> None:
    """Refuse what is no timeout of a request."""
    _check_duration(text, least_ms=1, most_ms=5 * _MINUTE_MS)


def check_disable_after(text: str) -> None:
    """Refuse what is no time after which an endpoint is given up."""
    _check_duration(text, least_ms=1, most_ms=365 * _DAY_MS)


def _check_duration(text: str, *, least_ms: int, most_ms: int) -> None:
    """Refuse a length of time that is none, or out of its bounds."""
    found = _DURATION.fullmatch(text)
    if found is None:
        _refuse(f"{text!r} is not a whole number with a unit (ms, s, m, h, d), such as 5s.")
    value = int(found[1]) * _UNITS_MS[found[2]]
    if value < least_ms:
        _refuse("It must be at least 1ms.")
    if value > most_ms:
        most = f"{most_ms // _DAY_MS} days" if most_ms >= _DAY_MS else f"{most_ms // _MINUTE_MS} minutes"
        _refuse(f"{text} is longer than {most}.")


def _refuse(message: str) -> NoReturn:
    raise ValidationError(message, code="invalid")
