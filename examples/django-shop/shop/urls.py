"""The addresses of the shop."""

from django.urls import path

from orders import views

urlpatterns = [
    path("", views.page, name="page"),
    path("live", views.live, name="live"),
    path("orders", views.place, name="place"),
    path("orders/<int:order_id>/pay", views.pay, name="pay"),
    path("orders/<int:order_id>/cancel", views.cancel, name="cancel"),
]
