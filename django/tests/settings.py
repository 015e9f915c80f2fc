"""The settings of the test project. The port of the private Postgres is put in when it runs."""

from __future__ import annotations

import os
from typing import Any

WALPOST: dict[str, Any] = {}
if "WALPOST_TEST_NATS" in os.environ:
    WALPOST["NATS"] = {"servers": os.environ["WALPOST_TEST_NATS"]}
SECRET_KEY = "for tests only"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_walpost",
    "django_walpost.consume",
    "tests.shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_walpost.middleware.event_context_middleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _database(name: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ.get("WALPOST_TEST_PG_PORT", "0"),
        "USER": "postgres",
        "NAME": os.environ.get("WALPOST_TEST_PREFIX", "") + name,
    }


DATABASES: dict[str, dict[str, Any]] = {
    "default": _database("main"),
    "other": _database("other"),
    "lite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
DATABASE_ROUTERS = ["tests.routers.Lite"]
