"""Endpoints of webhooks in the admin. Secrets and headers go in, and never come out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from django_walpost import endpoint_rules as rules
from django_walpost.endpoints import WebhookEndpoint

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

    _ModelAdmin = admin.ModelAdmin[WebhookEndpoint]
    _ModelForm = forms.ModelForm[WebhookEndpoint]
else:
    _ModelAdmin, _ModelForm = admin.ModelAdmin, forms.ModelForm

#: What people are told of each column.
_HELP = {
    "name": "1 to 40 of a-z, 0-9, _ and -. It is for ever: the place in the stream is kept under it.",
    "url": "https, without user, password and fragment.",
    "plain_http": "Whether the URL may be http.",
    "enabled": "Whether it is served. Events of one that is not wait in the stream.",
    "subjects": "Which events it gets, a filter a line: outbox.order.>, outbox.*.OrderPaid. Empty: all.",
    "format": "What the body of a request is. Empty: envelope.",
    "ordering": "Whether the events of one aggregate wait for each other. Empty: none.",
    "start": "Where it begins the first time: with new events, or with all that the stream holds. Empty: new.",
    "retries": "The pauses between the attempts, one a line. Empty: 5s, 5m, 30m, 2h, 5h, 10h, 10h.",
    "timeout": "How long a request may take. Empty: 15s.",
    "concurrency": "How many requests may be on their way at once. Empty: 16.",
    "max_waiting": "How many events may wait; at that number nothing more is read. Empty: 1000.",
    "disable_after": "How long it may fail without a success until it is disabled. Empty: 5d.",
}
#: What is asked for beside the columns, and what no report of an error may show.
_HIDDEN_INPUT = ("new_secret", "new_headers")
#: Where a row keeps a secret that was made just now, until it is shown.
_SHOWN_ONCE = "_shown_once"


class UnshownTextarea(forms.Textarea):
    """What is typed in is not shown again, not even beside an error."""

    def format_value(self, value: Any) -> None:
        """Return nothing."""


class LinesField(forms.CharField):
    """Texts, one a line; None if there is none."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", forms.Textarea(attrs={"rows": 4}))
        super().__init__(required=False, **options)

    def prepare_value(self, value: Any) -> Any:
        """Return the texts as lines."""
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        """Return the lines as texts."""
        lines = [line.strip() for line in super().clean(value).splitlines()]
        return [line for line in lines if line] or None

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Tell whether other texts are given."""
        return super().has_changed(self.prepare_value(initial), data)


class WebhookEndpointForm(_ModelForm):
    """The columns, and what is to be done with the secrets and the headers."""

    url = forms.CharField(label="URL", widget=forms.TextInput(attrs={"size": 80}), help_text=_HELP["url"])
    subjects = LinesField(help_text=_HELP["subjects"])
    retries = LinesField(help_text=_HELP["retries"])
    timeout = forms.CharField(required=False, empty_value=None, help_text=_HELP["timeout"])
    disable_after = forms.CharField(required=False, empty_value=None, help_text=_HELP["disable_after"])
    one_attempt = forms.BooleanField(required=False, label="no retries", help_text="One attempt for each event.")
    new_secret = forms.CharField(
        required=False,
        label="add a secret",
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "size": 60}),
        help_text="whsec_… or whsk_…: requests are signed with it, too. It is not shown again.",
    )
    generate = forms.BooleanField(
        required=False, label="add a new one", help_text="Make a new secret, and show it once, after saving."
    )
    drop_oldest = forms.BooleanField(
        required=False, label="drop the oldest", help_text="When the receiver has the new one."
    )
    new_headers = LinesField(
        label="set the headers",
        widget=UnshownTextarea(attrs={"rows": 4}),
        help_text="Name: value, one a line, instead of those that are there. Not shown again. Empty: no change.",
    )
    drop_headers = forms.BooleanField(required=False, label="remove the headers")

    class Meta:
        model = WebhookEndpoint
        fields = (
            "name", "url", "plain_http", "enabled", "subjects", "format", "ordering", "start", "retries", "timeout",
            "concurrency", "max_waiting", "disable_after",
        )  # fmt: skip
        help_texts = _HELP
        widgets = {"name": forms.TextInput}  # noqa: RUF012 - Django's own way

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.retries == []:
            self.initial["one_attempt"] = True

    def clean_new_secret(self) -> str:
        """Refuse what is no secret."""
        secret: str = self.cleaned_data["new_secret"]
        if secret:
            rules.check_secret(secret)
        return secret

    def clean_new_headers(self) -> dict[str, str] | None:
        """Return the headers, or refuse them without a value."""
        lines = self.cleaned_data["new_headers"]
        if lines is None:
            return None
        pairs = [line.partition(":") for line in lines]
        if any(not colon for _, colon, _ in pairs):
            raise ValidationError("A header is written as Name: value.")
        headers = {name.strip(): value.strip() for name, _, value in pairs}
        rules.check_headers(headers)
        return headers

    def clean(self) -> dict[str, Any]:
        """Put the pauses together, and see that a secret is left."""
        data = super().clean() or self.cleaned_data
        if data.get("one_attempt"):
            if data.get("retries"):
                self.add_error("one_attempt", "There are retries as well.")
            data["retries"] = []
        if "new_secret" in data:
            added = bool(data["new_secret"]) + bool(data["generate"])
            left = len(self.instance.secrets) + added - bool(data["drop_oldest"])
            if left < 1:
                self.add_error("generate", "There is no secret to sign with: add one.")
        return data


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(_ModelAdmin):
    """Who gets events over HTTP."""

    actions = ("enable", "disable")
    form = WebhookEndpointForm
    list_display = ("name", "origin", "enabled", "ordering", "secret_count")
    list_filter = ("enabled",)
    readonly_fields = ("secret_count", "header_names")
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "url", "plain_http", "enabled", "subjects", "format", "ordering", "start")}),
        ("Secrets", {"fields": ("secret_count", "generate", "new_secret", "drop_oldest")}),
        ("Headers", {"fields": ("header_names", "new_headers", "drop_headers")}),
        (
            "Retries",
            {"fields": ("retries", "one_attempt", "timeout", "concurrency", "max_waiting", "disable_after")},
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        """Keep the name: another one is another endpoint."""
        return self.readonly_fields if obj is None else ("name", *self.readonly_fields)

    @method_decorator(sensitive_post_parameters(*_HIDDEN_INPUT))
    @method_decorator(never_cache)
    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        """Keep what is typed in out of reports of errors, and what is shown out of caches."""
        return super().changeform_view(request, *args, **options)

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:  # noqa: FBT001
        """Do what is to be done with the secrets that are there now: somebody else may have added one meanwhile."""
        data = form.cleaned_data
        if change:
            # The view runs in a transaction.
            kept = WebhookEndpoint.objects.using(obj._state.db).select_for_update().filter(pk=obj.pk).first()
            obj.secrets = kept.secrets if kept else obj.secrets
        if data["new_secret"]:
            obj.add_secret(data["new_secret"])
        if data["generate"]:
            obj.__dict__[_SHOWN_ONCE] = obj.generate_secret()
        if data["drop_oldest"]:
            obj.drop_oldest_secret()
        if data["drop_headers"]:
            obj.headers = None
        if data["new_headers"] is not None:
            obj.headers = data["new_headers"]
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None) -> Any:
        """Show a new secret, this once."""
        return self._secret_page(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: WebhookEndpoint) -> Any:
        """Show a new secret, this once."""
        return self._secret_page(request, obj) or super().response_change(request, obj)

    def _secret_page(self, request: HttpRequest, obj: WebhookEndpoint) -> HttpResponse | None:
        """Return the page with a secret that was made just now. No session and no cookie ever has it."""
        secret = obj.__dict__.pop(_SHOWN_ONCE, None)
        if secret is None:
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "New secret",
            "endpoint": obj,
            "secret": secret,
            "has_others": len(obj.secrets) > 1,
            "next_url": reverse(f"{self.admin_site.name}:django_walpost_webhookendpoint_changelist"),
        }
        return TemplateResponse(request, "admin/django_walpost/webhookendpoint/secret.html", context)

    @admin.display(description="secrets")
    def secret_count(self, endpoint: WebhookEndpoint) -> str:
        """Return how many secrets there are, and nothing of them."""
        return str(len(endpoint.secrets))

    @admin.display(description="headers")
    def header_names(self, endpoint: WebhookEndpoint) -> str:
        """Return the names of the headers, without their values."""
        return ", ".join(endpoint.headers or ()) or "-"

    @admin.action(description="Serve the selected endpoints", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        """Have endpoints served."""
        queryset.update(enabled=True)

    @admin.action(description="Send nothing to the selected endpoints", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        """Have events of endpoints wait."""
        queryset.update(enabled=False)
