"""The outbox table, the watermark and the publication, exactly as ``walpost setup`` makes them."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import migrations, models

from django_walpost.conf import config, outbox_table
from django_walpost.fields import CurrentXid, PayloadField, TransactionTime, XidField
from django_walpost.ids import uuid7
from django_walpost.operations import CreateOutboxTable, CreatePublication, CreateWatermarkTable


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
        CreatePublication(config().publication, config().table),
    ]
