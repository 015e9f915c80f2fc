"""Routers of the test project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db import models


class Lite:
    """Keeps everything out of the database that is not Postgres."""

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:
        return False if db == "lite" and app_label != "django_walpost" else None


class EverythingLite:
    """Sends everything to the database that is not Postgres."""

    def db_for_write(self, model: type[models.Model], **_: Any) -> str:
        return "lite"
