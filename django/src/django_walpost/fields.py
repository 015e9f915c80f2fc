"""The columns that Django has no field for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from psycopg.types.json import Jsonb

from django_walpost.conf import config
from django_walpost.encoding import json_text
from django_walpost.exceptions import EventTooLarge

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    _IntegerField = models.Field[int, int]
    _ListField = models.Field[Any, Any]
else:
    _IntegerField = _ListField = models.Field


#: Where a row keeps its encoded payload until it is stored.
ENCODED = "_encoded_payload"


class EncodedJSON(str):
    """JSON text that goes into the column as it is."""

    __slots__ = ()


class PayloadField(models.JSONField):
    """The payload as ``jsonb``, encoded and measured before anything is sent.

    ``None`` is SQL ``NULL``, whose message has no body: a tombstone.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: FBT001 - Django's signature
        """Return the value encoded, so that a bad one is refused by this package, not by Postgres."""
        early = model_instance.__dict__.pop(ENCODED, None)
        if early is not None:
            return early
        value = super().pre_save(model_instance, add)
        return value if value is None or hasattr(value, "as_sql") else encoded(value)

    def get_db_prep_value(
        self,
        value: Any,
        connection: BaseDatabaseWrapper,
        prepared: bool = False,  # noqa: FBT001, FBT002 - Django's signature
    ) -> Any:
        """Hand encoded text to the driver without encoding it again."""
        if isinstance(value, EncodedJSON):
            return Jsonb(value, dumps=str)
        return super().get_db_prep_value(value, connection, prepared)


class XidField(_IntegerField):
    """The transaction that wrote the row (``xid8``), by which its delivery is told."""

    description = "64-bit transaction id"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """Return the type of the column."""
        return "xid8"

    def from_db_value(self, value: str | None, *_: object) -> int | None:
        """Return the number: the driver knows no xid8 and hands over text."""
        return None if value is None else int(value)

    def get_prep_value(self, value: Any) -> str | None:
        """Return text, which Postgres casts; it compares no xid8 with a number."""
        return None if value is None else str(value)


class TextListField(_ListField):
    """Texts as ``text[]``; ``ArrayField`` would ask every project to install ``django.contrib.postgres``."""

    description = "List of texts"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """Return the type of the column."""
        return "text[]"

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        """Refuse what is no list of texts."""
        super().validate(value, model_instance)
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise ValidationError("Expected a list of texts.", code="invalid")


class CurrentXid(models.Func):
    """The number of the transaction that is running."""

    function = "pg_current_xact_id"
    arity = 0

    def __init__(self) -> None:
        super().__init__(output_field=XidField())


class TransactionTime(Now):
    """The time at which the transaction began, as the outbox table has it by default."""

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """Return ``now()``; Django's own means the statement's time."""
        return self.as_sql(compiler, connection, template="now()", **context)


def encoded(value: Any) -> EncodedJSON:
    """Return a payload as the text for its column.

    Raises:
        PayloadNotSerializable: it is not JSON.
        EventTooLarge: it has more bytes than ``WALPOST["MAX_PAYLOAD_BYTES"]``.

    """
    if isinstance(value, EncodedJSON):
        return value
    text = json_text(value)
    check_size(len(text) if text.isascii() else len(text.encode()))
    return EncodedJSON(text)


def check_size(payload_bytes: int) -> None:
    """Refuse a payload that the broker would refuse."""
    limit = config().max_payload_bytes
    if payload_bytes > limit:
        raise EventTooLarge(
            f'The payload has {payload_bytes} bytes, and WALPOST["MAX_PAYLOAD_BYTES"] is {limit}. Store it elsewhere '
            "and record where."
        )
