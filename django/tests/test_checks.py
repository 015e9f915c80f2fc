"""Settings and models that are wrong are found by the system checks."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test.utils import isolate_apps

from django_walpost import conf
from django_walpost.checks import check_alias, check_mixins, check_settings
from django_walpost.models import OutboxMixin


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ([], "WALPOST is list", "{}"),
        ({"TABEL": "x"}, "unknown key 'TABEL'", "Did you mean 'TABLE'?"),
        ({"zzz": "x"}, "unknown key 'zzz'", "There are: TABLE, PUBLICATION"),
        ({"TABLE": ""}, "['TABLE'] is ''", "1 to 63 bytes"),
        ({"TABLE": "app.outbox"}, "['TABLE'] is 'app.outbox'", "search_path"),
        ({"SLOT": None}, "['SLOT'] is None", "1 to 63 bytes"),
        ({"PUBLICATION": "x" * 64}, "['PUBLICATION']", "1 to 63 bytes"),
        ({"MAX_PAYLOAD_BYTES": "1"}, "['MAX_PAYLOAD_BYTES'] is '1'", "number of bytes"),
        ({"MAX_PAYLOAD_BYTES": True}, "['MAX_PAYLOAD_BYTES'] is True", "number of bytes"),
        ({"RECORD_USER": 1}, "['RECORD_USER'] is 1", "True or False"),
        ({"CORRELATION_ID_HEADER": "a b"}, "['CORRELATION_ID_HEADER']", "request header"),
    ],
)
def test_a_wrong_setting_is_told_with_a_hint(settings: Any, value: Any, message: str, hint: str) -> None:
    settings.WALPOST = value
    (found,) = check_settings()
    assert (found.id, found.level) == ("walpost.E001", checks.ERROR)
    assert message in found.msg
    assert found.hint is not None
    assert hint in found.hint
    with pytest.raises(ImproperlyConfigured):
        conf.config()
    assert conf.outbox_table() == "outbox"


def test_all_wrong_settings_are_told_at_once(settings: Any) -> None:
    settings.WALPOST = {"A": 1, "TABLE": "", "RECORD_USER": 2}
    assert len(check_settings()) == 3


def test_right_settings_pass(settings: Any) -> None:
    settings.WALPOST = {"TABLE": "events", "PUBLICATION": None, "MAX_PAYLOAD_BYTES": 1}
    assert check_settings() == []
    assert conf.outbox_table() == "events"
    assert conf.config().publication is None


def test_an_outbox_that_is_not_in_postgres_is_told(settings: Any) -> None:
    assert check_alias() == []
    settings.DATABASE_ROUTERS = ["tests.routers.EverythingLite"]
    (found,) = check_alias()
    assert (found.id, "sqlite" in found.msg) == ("walpost.E002", True)


@isolate_apps("tests.shop")
def test_a_model_that_does_not_say_what_its_events_carry_is_told() -> None:
    class Silent(OutboxMixin, models.Model):
        outbox_events = {"vanished": "Gone"}  # type: ignore[dict-item] # noqa: RUF012

        class Meta:
            app_label = "shop"

    class Config:
        @staticmethod
        def get_models() -> list[type[models.Model]]:
            return [Silent]

    assert [found.id for found in check_mixins([Config])] == ["walpost.E003", "walpost.E004"]
    with pytest.raises(NotImplementedError, match=r"Silent.outbox_payload\(\)"):
        Silent().outbox_payload("created")


@pytest.mark.django_db(databases=["default", "other", "lite"])
def test_the_test_project_passes_all_checks() -> None:
    assert checks.run_checks() == []
