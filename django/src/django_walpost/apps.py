"""The application, for ``INSTALLED_APPS``."""

from __future__ import annotations

from django.apps import AppConfig


class WalpostConfig(AppConfig):
    """Events of this project, on their way to NATS JetStream."""

    name = "django_walpost"
    verbose_name = "Outbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks."""
        from django_walpost import checks  # noqa: F401 - registers itself
