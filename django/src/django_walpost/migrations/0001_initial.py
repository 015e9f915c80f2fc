"""The outbox table, the watermark and the publication, exactly as ``walpost setup`` makes them."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import migrations, models

from django_walpost.conf import config, outbox_table
from django_walpost.fields import CurrentXid, PayloadField, TransactionTime, XidField
from django_walpost.ids import uuid7
from django_walpost.operations import (
    CreateDeadLetterTable,
    CreateOutboxTable,
    CreatePublication,
    CreateStatus,
    CreateWatermarkTable,
)


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="OutboxEvent",
                    fields=[
                        ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
                        ("aggregate_type", models.TextField()),
                        ("aggregate_id", models.TextField()),
                        ("event_type", models.TextField()),
                        ("payload", PayloadField(encoder=DjangoJSONEncoder, null=True)),
                        ("headers", models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict)),
                        ("created_at", models.DateTimeField(db_default=TransactionTime(), editable=False)),
                        ("xid", XidField(db_default=CurrentXid(), editable=False)),
                    ],
                    options={
                        "db_table": outbox_table(),
                        "get_latest_by": "id",
                        "verbose_name": "outbox event",
                    },
                ),
            ],
            database_operations=[CreateOutboxTable(config().table)],
        ),
        CreateWatermarkTable(),
        CreateDeadLetterTable(),
        CreateStatus(outbox_table()),
        CreatePublication(config().publication, outbox_table()),
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                ("position", models.TextField(primary_key=True, serialize=False)),
                ("slot", models.TextField()),
                ("event_id", models.TextField(null=True)),
                ("aggregate_type", models.TextField(null=True)),
                ("aggregate_id", models.TextField(null=True)),
                ("event_type", models.TextField(null=True)),
                ("reason", models.TextField()),
                ("detail", models.TextField()),
                ("stream_sequence", models.BigIntegerField(null=True)),
                ("dead_at", models.DateTimeField()),
                (
                    "state",
                    models.TextField(choices=[("dead", "dead"), ("retried", "retried"), ("discarded", "discarded")]),
                ),
                ("decided_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "walpost_dead_letter", "managed": False, "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="EventStatus",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "status",
                    models.TextField(
                        choices=[("pending", "pending"), ("published", "published"), ("dead", "dead")], null=True
                    ),
                ),
            ],
            options={"db_table": "walpost_event_status", "managed": False, "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="Lag",
            fields=[
                ("slot", models.TextField(primary_key=True, serialize=False)),
                ("confirmed_lsn", models.TextField()),
                ("written_at", models.DateTimeField()),
                ("delivered_at", models.DateTimeField(null=True)),
                ("pending", models.BigIntegerField(null=True)),
                ("oldest_pending", models.DateTimeField(null=True)),
                ("dead", models.BigIntegerField()),
            ],
            options={"db_table": "walpost_lag", "managed": False, "default_permissions": ()},
        ),
    ]
