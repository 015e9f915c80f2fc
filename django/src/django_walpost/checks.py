"""System checks: what is wrong, found before the first event is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import connections, router

from django_walpost import conf
from django_walpost.mixins import OutboxMixin

if TYPE_CHECKING:
    from collections.abc import Sequence


@checks.register(checks.Tags.compatibility)
def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """E001: a key or value of ``WALPOST`` that is wrong."""
    found = conf.problems(getattr(settings, conf.SETTING, {}))
    return [checks.Error(message, hint=hint, id="walpost.E001") for message, hint in found]


@checks.register(checks.Tags.models)
def check_alias(**_: Any) -> list[checks.CheckMessage]:
    """E002: events go to a database that is not Postgres."""
    from django_walpost.models import OutboxEvent

    alias = router.db_for_write(OutboxEvent)
    vendor = connections[alias].vendor
    if vendor == "postgresql":
        return []
    hint = "Use Postgres there, or send the app django_walpost to another database by DATABASE_ROUTERS."
    return [checks.Error(f"The outbox is in the database {alias!r}, which is {vendor}.", hint=hint, id="walpost.E002")]


@checks.register(checks.Tags.models)
def check_mixins(app_configs: Sequence[Any] | None, **_: Any) -> list[checks.CheckMessage]:
    """E003: a model with the mixin that does not say what its events carry. E004: a change that does not exist."""
    found: list[checks.CheckMessage] = []
    for config in apps.get_app_configs() if app_configs is None else app_configs:
        for model in config.get_models():
            if issubclass(model, OutboxMixin):
                found.extend(_problems_of(model))
    return found


def _problems_of(model: Any) -> list[checks.CheckMessage]:
    """Return what is wrong with a model that records its changes."""
    found: list[checks.CheckMessage] = []
    if model.outbox_payload is OutboxMixin.outbox_payload:
        hint = "Write `def outbox_payload(self, change): return {...}`."
        found.append(checks.Error("outbox_payload() is missing.", hint=hint, obj=model, id="walpost.E003"))
    unknown = set(model.outbox_events or ()) - {"created", "updated", "deleted"}
    if unknown:
        hint = "The changes are created, updated and deleted."
        message = f"outbox_events has unknown changes: {', '.join(sorted(map(str, unknown)))}."
        found.append(checks.Error(message, hint=hint, obj=model, id="walpost.E004"))
    return found


@checks.register(checks.Tags.database)
def check_database(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """W001 to W003: what a database lacks for the relay. It is asked only if ``--database`` names it."""
    from django_walpost.models import OutboxEvent

    found: list[checks.CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor == "postgresql" and router.allow_migrate_model(alias, OutboxEvent):
            found.extend(_problems_in(connection))
    return found


def _problems_in(connection: Any) -> list[checks.CheckMessage]:
    """Return what a database lacks."""
    table, publication = conf.outbox_table(), conf.config().publication
    found: list[checks.CheckMessage] = []

    def warn(number: int, message: str, hint: str) -> None:
        where = f"Database {connection.alias!r}: {message}"
        found.append(checks.Warning(where, hint=hint, id=f"walpost.W{number:03}"))

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(current_setting('effective_wal_level', true), current_setting('wal_level')), "
            "to_regclass(%s), to_regclass('walpost_event_status')",
            [connection.ops.quote_name(table)],
        )
        wal_level, outbox, status = cursor.fetchone()
        if wal_level != "logical":
            warn(1, f"wal_level is {wal_level}.", "ALTER SYSTEM SET wal_level = logical; and restart Postgres.")
        if outbox is None or status is None:
            missing = f"the table {table}" if outbox is None else "the delivery status"
            warn(2, f"{missing} is missing.", f"manage.py migrate django_walpost --database {connection.alias}")
            return found
        if publication is not None:
            cursor.execute(
                "SELECT p.pubinsert, EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = p.pubname "
                "AND format('%%I.%%I', t.schemaname, t.tablename)::regclass = to_regclass(%s)) "
                "FROM pg_publication p WHERE p.pubname = %s",
                [connection.ops.quote_name(table), publication],
            )
            row = cursor.fetchone()
            if row != (True, True):
                state = "is missing" if row is None else "does not send the inserts into the outbox"
                hint = 'Run `walpost setup`, or set WALPOST["PUBLICATION"] to None if somebody else makes it.'
                warn(3, f"the publication {publication} {state}.", hint)
    return found


#: All checks, for ``manage.py outbox_check``.
ALL = (check_settings, check_alias, check_mixins, check_database)
