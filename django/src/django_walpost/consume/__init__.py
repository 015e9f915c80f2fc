"""Consumers: handle each event of the stream once, in one transaction with what the handler writes.

Put ``django_walpost.consume`` into ``INSTALLED_APPS``, write handlers in a module ``consumers`` of an app, and run
``manage.py outbox_consume``. Needs the extra ``django-walpost[consume]``.
"""

from django_walpost.consume.message import Message
from django_walpost.consume.registry import Consumer, GiveUp, consumer

__all__ = ["Consumer", "GiveUp", "Message", "consumer"]
