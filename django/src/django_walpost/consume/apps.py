"""The application, for ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class WalpostConsumeConfig(AppConfig):
    """Events of others, handled once each."""

    name = "django_walpost.consume"
    label = "walpost_consume"
    verbose_name = "Inbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Find the handlers: a module ``consumers`` of each app."""
        autodiscover_modules("consumers")
