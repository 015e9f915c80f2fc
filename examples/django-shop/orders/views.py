"""The page, what its buttons do, and what keeps it up to date."""

import json
from collections.abc import Iterator

from django.contrib import messages
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from orders import services
from orders.timeline import latest_orders

#: What is for sale, and its price in cents.
SHELF = {"A kettle": 2490, "Two cups": 1180, "Green tea, 250 g": 990}


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Show the orders and their events."""
    return render(request, "orders/page.html", {"orders": latest_orders(), "shelf": SHELF})


@require_POST
def place(request: HttpRequest) -> HttpResponse:
    """Place an order."""
    customer, item = request.POST.get("customer", "").strip()[:80], request.POST.get("item", "")
    if not customer or item not in SHELF:
        messages.error(request, "Please say who you are, and choose something.")
        return redirect("page")
    order = services.place_order(customer, item, SHELF[item])
    return redirect(f"{reverse('page')}#order-{order.pk}")


@require_POST
def pay(request: HttpRequest, order_id: int) -> HttpResponse:
    """Pay an order."""
    try:
        services.pay(order_id, card_is_good=request.POST.get("card") != "bad")
    except services.CardDeclined:
        messages.error(request, "The card was declined: all is rolled back, and no event tells of a payment.")
    except services.NotOpen:
        messages.error(request, f"Order {order_id} is not open any more.")
    return redirect(f"{reverse('page')}#order-{order_id}")


@require_POST
def cancel(request: HttpRequest, order_id: int) -> HttpResponse:
    """Cancel an order."""
    try:
        services.cancel(order_id)
    except services.NotOpen:
        messages.error(request, f"Order {order_id} is not open any more.")
    return redirect(f"{reverse('page')}#order-{order_id}")


@require_GET
def live(request: HttpRequest) -> StreamingHttpResponse:
    """Send the orders to the page whenever they have changed, as server-sent events."""
    return StreamingHttpResponse(changes(), content_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def changes() -> Iterator[str]:
    """Yield the orders at once, and again when they look different.

    The relay notifies whoever listens when it has delivered something. Listen before you look, or the news may come in
    between. It knows nothing of new orders, so the page also looks once a second.
    """
    connection.ensure_connection()
    session = connection.connection
    session.execute("LISTEN walpost_delivered")
    shown = None
    while True:
        html = render_to_string("orders/orders.html", {"orders": latest_orders()})
        yield ": nothing new\n\n" if html == shown else f"data: {json.dumps(html)}\n\n"
        shown = html
        for _ in session.notifies(timeout=1, stop_after=1):
            pass
