"""A headless Chromium, driven by its own debugging protocol through a pair of pipes: nothing else is needed.

<https://chromedevtools.github.io/devtools-protocol/>
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from tests import servers

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")

#: Chromium reads commands from this descriptor and writes answers to the next one.
_COMMANDS, _ANSWERS = 3, 4


def program() -> str | None:
    """Return an installed Chromium."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """A browser with one page."""

    def __init__(self, chromium: str, folder: Path) -> None:
        # Numbers above those that they get in the child.
        (their_in, self._out), (self._in, their_out) = ([_high(end) for end in os.pipe()] for _ in range(2))

        def connect() -> None:
            os.dup2(their_in, _COMMANDS)
            os.dup2(their_out, _ANSWERS)

        options = ["--headless", "--remote-debugging-pipe", f"--user-data-dir={folder}", "--hide-scrollbars"]
        options += ["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium does not make one for root
        self._child = subprocess.Popen(
            [chromium, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=connect,  # noqa: PLW1509 - one thread then
            pass_fds=(_COMMANDS, _ANSWERS), start_new_session=True,
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        self._buffer, self._count, self._session = b"", 0, None
        #: What went wrong in the page: uncaught errors, and what the console shows as an error.
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self._call("Emulation.setDeviceMetricsOverride", width=1000, height=640, deviceScaleFactor=1, mobile=False)

    def open(self, address: str) -> None:
        """Open a page."""
        answer = self._call("Page.navigate", url=address)
        assert "errorText" not in answer, answer

    def get(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a condition holds in the page."""

        def holds() -> bool:
            try:
                return bool(self.get(f"document.readyState === 'complete' && Boolean({condition})"))
            except Refused:
                return False  # the page is being replaced by the next one

        servers.eventually(holds, condition)

    def picture(self) -> bytes:
        """Return what a person would see, as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot")["data"])

    def close(self) -> None:
        """End the browser."""
        self._session = None
        self._call("Browser.close")
        self._child.wait(servers.WITHIN_SECONDS)
        os.close(self._in)
        os.close(self._out)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        self._count += 1
        command: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._out, json.dumps(command).encode() + b"\0")
        while (message := self._next()).get("id") != self._count:
            self._note(message)
        if "error" in message:
            raise Refused(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    def _note(self, message: dict[str, Any]) -> None:
        """Keep what the page complains of."""
        about = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.complaints.append(str(about["entry"]))

    def _next(self) -> dict[str, Any]:
        """Return the next message of the browser."""
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], servers.WITHIN_SECONDS)[0]:
                raise AssertionError(f"Chromium has said nothing for {servers.WITHIN_SECONDS} s")
            part = os.read(self._in, 65_536)
            if not part:
                raise AssertionError("Chromium has ended")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


class Refused(Exception):
    """The browser did not do what it was told."""


def _high(end: int) -> int:
    """Return a copy of a descriptor with a number that means nothing to anybody."""
    copy = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(end)
    return copy
