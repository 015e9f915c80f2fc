"""Migration operations: the SQL of ``walpost setup``, forwards and backwards.

They do nothing on a database that is not Postgres, and none of them makes the replication slot: from the moment a slot
exists Postgres keeps its log for it, so the slot is made last of all, by ``walpost setup``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import router
from django.db.migrations.operations.base import Operation

from django_walpost.sql_files import filled, literal, qualified, quoted, schema_of

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import ProjectState


class WalpostOperation(Operation):
    """Creates one part, and drops it when it is reversed."""

    reduces_to_sql = True
    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing: models are declared apart."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Create the part."""
        self._execute(app_label, schema_editor, self.creation)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Drop the part."""
        self._execute(app_label, schema_editor, self.removal)

    def creation(self, connection: Any) -> str:
        """Return the SQL that creates the part."""
        raise NotImplementedError

    def removal(self, connection: Any) -> str:
        """Return the SQL that drops the part."""
        raise NotImplementedError

    @staticmethod
    def _execute(app_label: str, schema_editor: Any, statement: Any) -> None:
        """Execute a statement where it belongs."""
        connection = schema_editor.connection
        if connection.vendor == "postgresql" and router.allow_migrate(connection.alias, app_label):
            schema_editor.execute(statement(connection), params=None)


class CreateTable(WalpostOperation):
    """Create one of the tables from its file in ``sql/``."""

    table: str
    #: The file, and the name in it that stands for the table.
    script: str
    placeholder: str
    #: What it is called.
    title: str

    def describe(self) -> str:
        """Return what the operation does."""
        return f"Create {self.title} table {self.table}"

    def creation(self, connection: Any) -> str:
        """Return the SQL of the file."""
        return filled(self.script, **{self.placeholder: qualified(connection, self.table)})

    def removal(self, connection: Any) -> str:
        """Return the SQL that drops the table."""
        return f"DROP TABLE {qualified(connection, self.table)}"


class CreateOutboxTable(CreateTable):
    """Create the outbox table."""

    script, placeholder, title = "outbox", "table", "outbox"

    def __init__(self, table: str) -> None:
        self.table = table


class CreateWatermarkTable(CreateTable):
    """Create the table in which the relay keeps what it has delivered."""

    table = "walpost_watermark"
    script, placeholder, title = "watermark", "watermark", "watermark"


class CreateDeadLetterTable(CreateTable):
    """Create the table in which the relay keeps the events that no message can carry."""

    table = "walpost_dead_letter"
    script, placeholder, title = "dead_letter", "dead_letter", "dead letter"


class CreateWebhookEndpointTable(CreateTable):
    """Create the table that endpoints of webhooks are kept in, for ``webhooks.source = "table"``."""

    table = "walpost_webhook_endpoint"
    script, placeholder, title = "webhook_endpoint", "webhook_endpoint", "webhook endpoint"


class CreateStatus(WalpostOperation):
    """Create the views and functions that tell the delivery status of the rows of one table."""

    #: The version of ``sql/status.sql``, as ``walpost setup`` has it.
    version = 1

    def __init__(self, table: str) -> None:
        self.table = table

    def describe(self) -> str:
        """Return what the operation does."""
        return f"Create delivery status of {self.table}"

    def creation(self, connection: Any) -> str:
        """Return the SQL of ``sql/status.sql``, for a table with the columns of the contract."""
        table = qualified(connection, self.table)
        form = f'walpost status {self.version}: {table}, id "id", xid t.xid, created_at t."created_at"::timestamptz'
        return filled(
            "status",
            schema=quoted(schema_of(connection)),
            table=table,
            table_literal=literal(table),
            watermark=qualified(connection, CreateWatermarkTable.table),
            dead_letter=qualified(connection, CreateDeadLetterTable.table),
            form=literal(form),
            id='"id"',
            xid="t.xid",
            created_at='t."created_at"::timestamptz',
            renew="again.xid := pg_current_xact_id();\n    ",
        )

    def removal(self, connection: Any) -> str:
        """Return the SQL that drops them."""
        schema = quoted(schema_of(connection))
        functions = ("discard(text)", "retry(text)", "status(text)", "pending_from()")
        views = ("lag", "event_status")
        drops = [f"DROP FUNCTION {schema}.walpost_{name}" for name in functions]
        return ";".join(drops + [f"DROP VIEW {schema}.walpost_{name}" for name in views])


class CreatePublication(WalpostOperation):
    """Create the publication that sends the inserts into one table; with None as its name, nothing."""

    def __init__(self, publication: str | None, table: str) -> None:
        self.publication = publication
        self.table = table

    def describe(self) -> str:
        """Return what the operation does."""
        return f"Create publication {self.publication} for {self.table}"

    def creation(self, connection: Any) -> str:
        """Return the SQL of ``sql/publication.sql``."""
        if self.publication is None:
            return "SELECT"
        table = qualified(connection, self.table)
        return filled("publication", publication=quoted(self.publication), table=table)

    def removal(self, connection: Any) -> str:
        """Return the SQL that drops the publication."""
        if self.publication is None:
            return "SELECT"
        return f"DROP PUBLICATION {quoted(self.publication)}"
