"""What an event carries of the request or message that caused it: ids, user and trace.

The context is a mapping of headers in one context variable. So it follows the code into coroutines, into threads of
``sync_to_async``, and nowhere else: a task queue is handed :func:`current_headers` and enters it again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

CORRELATION_ID = "correlation_id"
CAUSATION_ID = "causation_id"
USER = "user"
TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_F = TypeVar("_F", bound=Callable[..., Any])

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_context: ContextVar[Mapping[str, Any]] = ContextVar("django_walpost_context", default=_NOTHING)


class event_context:  # noqa: N801 - it is used like a function
    """Give every event that is recorded inside these headers.

    A context manager, and a decorator of functions and coroutine functions::

        with event_context(correlation_id=job.id, user="nightly"):
            close_orders()

    Contexts nest: the inner one adds to the outer one and wins. A value of None takes a header out; one that can be
    called is asked when an event is recorded. ``fresh=True`` begins without the outer ones.
    """

    def __init__(
        self,
        headers: Mapping[str, Any] | None = None,
        /,
        *,
        fresh: bool = False,
        **more: Any,
    ) -> None:
        self._headers = {**(headers or {}), **more}
        self._fresh = fresh
        self._tokens: list[Token[Mapping[str, Any]]] = []

    def __enter__(self) -> Self:
        outer = _NOTHING if self._fresh else _context.get()
        self._tokens.append(_context.set(MappingProxyType({**outer, **self._headers})))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _context.reset(self._tokens.pop())

    def __call__(self, function: _F) -> _F:
        """Run the function in this context, each call in one of its own."""
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def run(*args: Any, **kwargs: Any) -> Any:
                with event_context(self._headers, fresh=self._fresh):
                    return await function(*args, **kwargs)

        else:

            @wraps(function)
            def run(*args: Any, **kwargs: Any) -> Any:
                with event_context(self._headers, fresh=self._fresh):
                    return function(*args, **kwargs)

        return cast("_F", run)


def current_headers() -> dict[str, Any]:
    """Return the headers that an event recorded now would get from the context.

    They are plain values, so a task can be given them and enter them again with ``event_context(headers)``.
    """
    found = {}
    for name, value in _context.get().items():
        plain = value() if callable(value) else value
        if plain is not None:
            found[name] = plain
    return found
