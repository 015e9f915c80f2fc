"""The outbox in the admin: a list to read, with the status of each event, and decisions about dead letters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.functional import cached_property
from django.utils.html import format_html

from django_walpost.endpoint_admin import WebhookEndpointAdmin
from django_walpost.models import DeadLetter, Lag, OutboxEvent, Status

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    _Paginator = Paginator[OutboxEvent]
    _ModelAdmin = admin.ModelAdmin[OutboxEvent]
else:
    _Paginator, _ModelAdmin = Paginator, admin.ModelAdmin

__all__ = ["OutboxEventAdmin", "WebhookEndpointAdmin"]

#: No page beyond it is offered: to count a large table takes long, and nobody reads so far.
_COUNTED_ROWS = 10_000


class BoundedPaginator(_Paginator):
    """Counts no more rows than anybody looks at."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, at most a bound."""
        rows: Any = self.object_list
        return len(rows.order_by().values_list("pk")[:_COUNTED_ROWS])


class StatusFilter(admin.SimpleListFilter):
    """Filters by delivery status."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(str(value), str(label)) for value, label in Status.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> QuerySet[OutboxEvent]:
        """Return the events of the chosen status."""
        rows: Any = queryset
        match self.value():
            case Status.PENDING:
                return rows.pending()  # type: ignore[no-any-return]
            case Status.PUBLISHED:
                return rows.published()  # type: ignore[no-any-return]
            case Status.DEAD:
                return rows.dead()  # type: ignore[no-any-return]
        return queryset


@admin.register(OutboxEvent)
class OutboxEventAdmin(_ModelAdmin):
    """Events, the newest first."""

    actions = ("retry", "discard")
    change_list_template = "admin/django_walpost/outboxevent/change_list.html"
    fields = (
        "id", "status", "event_type", "aggregate_type", "aggregate_id", "created_at", "shown_payload", "shown_headers",
        "dead_letter", "xid",
    )  # fmt: skip
    list_display = ("event_type", "aggregate_type", "aggregate_id", "status", "created_at", "id")
    list_filter = (StatusFilter,)
    ordering = ("-id",)
    paginator = BoundedPaginator
    readonly_fields = ("status", "shown_payload", "shown_headers", "dead_letter")
    search_fields = ("id",)
    search_help_text = "An event's id, or the whole id of an aggregate."
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEvent]:
        """Return the events with their status."""
        return OutboxEvent.objects.with_status().order_by("-id")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxEvent], search_term: str
    ) -> tuple[QuerySet[OutboxEvent], bool]:
        """Return the event with this id, or those of the aggregate with this id."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            event_id = UUID(term)
        except ValueError:
            return queryset.filter(aggregate_id=term), False
        return queryset.filter(pk=event_id) | queryset.filter(aggregate_id=term), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show how far the relay is above the list."""
        lags = Lag.objects.using(self.get_queryset(request).db).order_by("slot")
        return super().changelist_view(request, {**(extra_context or {}), "outbox_lags": lags})

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: events are recorded by code, in a transaction."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: OutboxEvent | None = None) -> bool:
        """Refuse: the relay reads inserts only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: OutboxEvent | None = None) -> bool:
        """Refuse: ``manage.py outbox_prune`` deletes what is published."""
        return False

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may decide about dead letters: who has the right to change events."""
        return request.user.has_perm("django_walpost.change_outboxevent")

    @admin.display(description="payload")
    def shown_payload(self, event: OutboxEvent) -> str:
        """Return the payload for people."""
        return "(none: a tombstone)" if event.payload is None else _pretty(event.payload)

    @admin.display(description="headers")
    def shown_headers(self, event: OutboxEvent) -> str:
        """Return the headers for people."""
        return _pretty(event.headers)

    @admin.display(description="dead letter")
    def dead_letter(self, event: OutboxEvent) -> str:
        """Return why no message can carry the event."""
        letters = DeadLetter.objects.using(event._state.db).filter(event_id=str(event.pk)).order_by("dead_at")
        return "; ".join(f"{one.reason}: {one.detail} ({one.state})" for one in letters) or "-"

    @admin.action(description="Publish dead letters again", permissions=["decide"])
    def retry(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> None:
        """Have the relay try dead letters again."""
        done = sum(event.retry() for event in queryset)
        messages.info(request, f"{done} dead letters are published again.")

    @admin.action(description="Discard dead letters", permissions=["decide"])
    def discard(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> None:
        """Give dead letters up."""
        done = sum(event.discard() for event in queryset)
        messages.info(request, f"{done} dead letters are discarded.")


def _pretty(value: Any) -> str:
    """Return JSON with lines."""
    text = json.dumps(value, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)
    return format_html('<pre style="margin: 0; white-space: pre-wrap">{}</pre>', text)
