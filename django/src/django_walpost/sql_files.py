"""The SQL that makes the database's part: the files that ``walpost setup`` executes, with names put in."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_FOLDER = Path(__file__).parent / "sql"
_PLACE = re.compile(r"\{([a-z_]+)\}")


def filled(name: str, **places: str) -> str:
    """Return a file with values in its places, in one pass: a value that looks like a place stays a value."""
    return _PLACE.sub(lambda found: places[found[1]], _template(name))


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def schema_of(connection: BaseDatabaseWrapper) -> str:
    """Return the schema that tables are made in."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return str(cursor.fetchone()[0])


def qualified(connection: BaseDatabaseWrapper, table: str) -> str:
    """Return a table's name with the schema that it is made in, as Postgres writes it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT format('%%I.%%I', current_schema(), %s::text)", [table])
        return str(cursor.fetchone()[0])


@cache
def _template(name: str) -> str:
    """Return a file of the folder ``sql/``."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
