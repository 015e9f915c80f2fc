"""Endpoints of webhooks as rows, which ``walpost webhooks run`` reads with ``webhooks.source = "table"``.

What is None or empty is as walpost has it by default. Its guide of webhooks says what each field means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from django_walpost import endpoint_rules as rules
from django_walpost.fields import TextListField

if TYPE_CHECKING:
    from collections.abc import Collection


class WebhookEndpoint(models.Model):
    """Somebody who wants events over HTTP.

    A new name is a new endpoint; the row of a name that was deleted and is there again goes on where it stood.
    """

    name = models.TextField(
        primary_key=True,
        validators=[rules.check_name],
    )
    url = models.TextField("URL")
    secrets = TextListField(default=list, editable=False, validators=[rules.check_secrets])
    subjects = TextListField(
        null=True,
        blank=True,
        validators=[rules.check_subjects],
    )
    format = models.TextField(
        null=True,
        blank=True,
        choices=[(word, word) for word in rules.FORMATS],
    )
    ordering = models.TextField(
        null=True,
        blank=True,
        choices=[(word, word) for word in rules.ORDERINGS],
    )
    headers = models.JSONField(
        null=True, blank=True, editable=False, encoder=DjangoJSONEncoder, validators=[rules.check_headers]
    )
    concurrency = models.IntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(256)],
    )
    timeout = models.TextField(null=True, blank=True, validators=[rules.check_timeout])
    retries = TextListField(
        null=True,
        blank=True,
        validators=[rules.check_retries],
    )
    max_waiting = models.IntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
    )
    disable_after = models.TextField(
        null=True,
        blank=True,
        validators=[rules.check_disable_after],
    )
    start = models.TextField(
        null=True,
        blank=True,
        choices=[(word, word) for word in rules.STARTS],
    )
    plain_http = models.BooleanField("plain http", default=False)
    enabled = models.BooleanField(default=True)

    class Meta:
        db_table = "walpost_webhook_endpoint"
        ordering = ("name",)
        verbose_name = "webhook endpoint"

    def __str__(self) -> str:
        return self.name

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Check what nobody sees in a form, too.

        Raises:
            ValidationError: with everything that is wrong, by field.

        """
        errors: dict[str, Any] = {}
        try:
            super().clean_fields(exclude)
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        excluded = set(exclude or ())
        if "url" not in excluded | set(errors):
            try:
                rules.check_url(self.url, plain_http=self.plain_http)
            except ValidationError as error:
                errors = ValidationError({"url": error}).update_error_dict(errors)
        if "secrets" not in excluded | set(errors) and not self.secrets:
            errors = ValidationError({"secrets": "There is no secret to sign with."}).update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    @property
    def origin(self) -> str:
        """Where it is, without path and query, which may hold a token."""
        try:
            parts = urlsplit(self.url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            return "?"
        return f"{parts.scheme}://{parts.hostname or '?'}{port}"

    def add_secret(self, secret: str) -> None:
        """Sign with one more secret; to be saved.

        Raises:
            ValidationError: it is none.

        """
        rules.check_secret(secret)
        self.secrets = [*self.secrets, secret]

    def generate_secret(self) -> str:
        """Sign with a new secret, too, and return it; to be saved."""
        secret = rules.new_secret()
        self.add_secret(secret)
        return secret

    def drop_oldest_secret(self) -> None:
        """Sign with the oldest secret no more; to be saved.

        Raises:
            ValidationError: it is the only one.

        """
        if len(self.secrets) < 2:  # noqa: PLR2004 - one must be left
            raise ValidationError("The only secret cannot be dropped: add another one first.")
        self.secrets = self.secrets[1:]
