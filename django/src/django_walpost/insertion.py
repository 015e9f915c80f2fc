"""The INSERT: always one statement.

One row is plain values, which is the fastest for both sides. Many rows are one JSON document that the server takes
apart: that is several times faster than a placeholder for each value, because neither Django nor the driver has to look
at each of them; the payloads are JSON text already.
"""

from __future__ import annotations

import json
from functools import cache
from json.encoder import encode_basestring as quoted
from typing import TYPE_CHECKING, TypeVar

from django_walpost.sql_files import quoted as quoted_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_walpost.models import AbstractOutboxEvent

_E = TypeVar("_E", bound="AbstractOutboxEvent")

#: A statement's document stays below it, and so well below what ``jsonb`` can hold (256 MiB).
_DOCUMENT_CHARACTERS = 32 * 1024 * 1024

_INSERT_ONE = """\
INSERT INTO {table} (id, aggregate_type, aggregate_id, event_type, payload, headers)
VALUES (%s, %s, %s, %s, %s, %s)
RETURNING created_at, xid"""

#: The payload is wrapped, because a JSON null would become SQL NULL on its way. Time and transaction are those of the
#: one transaction, so one row tells them for all.
_INSERT_MANY = """\
WITH stored AS (
    INSERT INTO {table} (id, aggregate_type, aggregate_id, event_type, payload, headers)
    SELECT i, a, k, e, p -> 0, h
      FROM jsonb_to_recordset(%s) AS row (i uuid, a text, k text, e text, p jsonb, h jsonb)
    RETURNING created_at, xid
)
SELECT created_at, xid FROM stored LIMIT 1"""


def insert(rows: list[_E], table: str, connection: BaseDatabaseWrapper) -> None:
    """Store rows that are built, and tell them what the database has added."""
    one, many = _statements(table)
    with connection.cursor() as cursor:
        if len(rows) == 1:
            cursor.execute(one, _values(rows[0]))
        else:
            for document in _documents(rows):
                cursor.execute(many, [document])
        created_at, xid = cursor.fetchone()
    for row in rows:
        row.created_at, row.xid = created_at, int(xid)
        row._state.adding, row._state.db = False, connection.alias


@cache
def _statements(table: str) -> tuple[str, str]:
    """Return the INSERT of one row into a table, and that of many."""
    name = quoted_name(table).replace("%", "%%")
    return _INSERT_ONE.format(table=name), _INSERT_MANY.format(table=name)


def _values(row: AbstractOutboxEvent) -> list[str | None]:
    """Return a row as texts, which Postgres takes as the types of the columns."""
    payload, headers = row.encoded_payload(), _headers(row)
    return [row.id.hex, row.aggregate_type, row.aggregate_id, row.event_type, payload, headers]


def _documents(rows: list[_E]) -> Iterator[str]:
    """Return the rows as JSON arrays, of which one is enough but for a great many or great payloads."""
    parts: list[str] = []
    size = 0
    for row in rows:
        part = _object(row)
        if parts and size + len(part) > _DOCUMENT_CHARACTERS:
            yield f"[{','.join(parts)}]"
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    yield f"[{','.join(parts)}]"


def _object(row: AbstractOutboxEvent) -> str:
    """Return a row as a JSON object."""
    payload = row.encoded_payload()
    return (
        f'{{"i":"{row.id.hex}","a":{quoted(row.aggregate_type)},"k":{quoted(row.aggregate_id)},'
        f'"e":{quoted(row.event_type)},"p":{"null" if payload is None else f"[{payload}]"},'
        f'"h":{_headers(row)}}}'
    )


def _headers(row: AbstractOutboxEvent) -> str:
    """Return the headers of a row as JSON. Most are texts, for which the encoder of any value is a long way round."""
    values = (
        f"{quoted(name)}:{quoted(value) if isinstance(value, str) else json.dumps(value)}"
        for name, value in row.headers.items()
    )
    return f"{{{','.join(values)}}}"
