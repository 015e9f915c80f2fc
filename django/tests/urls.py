"""The pages of the test project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

import django_walpost
from tests.shop.models import Order

if TYPE_CHECKING:
    from django_walpost.models import OutboxEvent


def _place() -> OutboxEvent:
    with transaction.atomic():
        return django_walpost.record("OrderPlaced", aggregate=Order.objects.create())


def place(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(_place().id))


async def aplace(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str((await sync_to_async(_place)()).id))


urlpatterns = [path("place", place), path("aplace", aplace), path("admin/", admin.site.urls)]
