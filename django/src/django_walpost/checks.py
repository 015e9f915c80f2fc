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
