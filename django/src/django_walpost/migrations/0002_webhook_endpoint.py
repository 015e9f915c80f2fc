"""The table of endpoints of webhooks, exactly as ``walpost webhooks setup`` makes it."""

from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

from django_walpost import endpoint_rules as rules
from django_walpost.fields import TextListField
from django_walpost.operations import CreateWebhookEndpointTable


def words(*choices: str) -> Any:
    return models.TextField(blank=True, choices=[(word, word) for word in choices], null=True)


def number(most: int) -> Any:
    return models.IntegerField(blank=True, null=True, validators=[MinValueValidator(1), MaxValueValidator(most)])


class Migration(migrations.Migration):
    dependencies = [("django_walpost", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="WebhookEndpoint",
                    fields=[
                        ("name", models.TextField(primary_key=True, serialize=False, validators=[rules.check_name])),
                        ("url", models.TextField(verbose_name="URL")),
                        (
                            "secrets",
                            TextListField(default=list, editable=False, validators=[rules.check_secrets]),
                        ),
                        ("subjects", TextListField(blank=True, null=True, validators=[rules.check_subjects])),
                        ("format", words("raw", "envelope", "cloudevents")),
                        ("ordering", words("none", "aggregate")),
                        (
                            "headers",
                            models.JSONField(
                                blank=True,
                                editable=False,
                                encoder=DjangoJSONEncoder,
                                null=True,
                                validators=[rules.check_headers],
                            ),
                        ),
                        ("concurrency", number(256)),
                        ("timeout", models.TextField(blank=True, null=True, validators=[rules.check_timeout])),
                        ("retries", TextListField(blank=True, null=True, validators=[rules.check_retries])),
                        ("max_waiting", number(10_000)),
                        (
                            "disable_after",
                            models.TextField(blank=True, null=True, validators=[rules.check_disable_after]),
                        ),
                        ("start", words("new", "all")),
                        ("plain_http", models.BooleanField(default=False, verbose_name="plain http")),
                        ("enabled", models.BooleanField(default=True)),
                    ],
                    options={
                        "db_table": "walpost_webhook_endpoint",
                        "ordering": ("name",),
                        "verbose_name": "webhook endpoint",
                    },
                ),
            ],
            database_operations=[CreateWebhookEndpointTable()],
        ),
    ]
