"""The example shop, run as `make demo-django` runs it: over HTTP, and in a browser where there is one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from http.cookiejar import CookieJar
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

import browser
from conftest import EXAMPLES
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOP = EXAMPLES / "django-shop"

#: Where to put a picture for the documentation.
PICTURE = os.environ.get("WALPOST_SCREENSHOT")


class Demo:
    """The demonstration, as a process that somebody types to."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, SHOP / "demo.py", "--port", "0"], text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.folder = Path(self._wait_for(r"\* logs\s+(\S+)"))
        self.address = self._wait_for(r"The shop is open: (\S+)")

    def type(self, line: str, answer: str) -> None:
        """Type a line, and wait for what is answered."""
        assert self._child.stdin is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()
        self._wait_for(answer)

    def end(self) -> int:
        """Press Ctrl-C; the exit code."""
        if self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGINT)
        said, _ = self._child.communicate(timeout=servers.WITHIN_SECONDS)
        assert "All is ended" in said
        return self._child.returncode

    def _wait_for(self, pattern: str) -> str:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if found := re.search(pattern, line):
                return found[found.lastindex or 0]
        raise AssertionError(f"the demo has ended with {self._child.wait()}")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    demo = Demo()
    yield demo
    assert demo.folder.is_dir()
    assert demo.end() == 0
    assert not demo.folder.exists()


@pytest.fixture
def page(demo: Demo, tmp_path: Path) -> Iterator[browser.Browser]:
    chromium = browser.program()
    if chromium is None:
        pytest.skip("there is no Chromium: the page of the shop was NOT looked at in a browser (`make tools-browser`)")
    page = browser.Browser(chromium, tmp_path)
    page.open(demo.address)
    yield page
    page.close()


def test_the_page_works_without_a_script(demo: Demo) -> None:
    person = build_opener(HTTPCookieProcessor(CookieJar()))

    def read(path: str = "", data: bytes | None = None) -> str:
        with person.open(demo.address + path, data, timeout=30) as answer:
            return str(answer.read().decode())

    def write(**fields: str) -> str:
        return read("orders", urlencode({"csrfmiddlewaretoken": token, **fields}).encode())

    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', read())[0]
    assert "for Ada &lt;Lovelace&gt;, €11.80" in write(customer="Ada <Lovelace>", item="Two cups")
    assert "Please say who you are" in write(customer=" ", item="Two cups")
    servers.eventually(lambda: 'class="event pending"' not in read(), "all events to be published")
    assert read().count('class="event published"') >= 6


def test_a_person_sees_events_turn_from_pending_to_published(demo: Demo, page: browser.Browser) -> None:
    newest = "document.querySelector('#orders article')"
    page.wait(f"{newest} && !document.querySelector('.event.pending')")

    demo.type("r", "The relay is stopped")
    page.get("document.querySelector('[name=customer]').value = 'Barbara'")
    page.get("document.querySelector('.new button').click()")
    page.wait(f"{newest}.innerText.includes('Barbara') && {newest}.querySelector('.event.pending')")
    page.get(f"{newest}.querySelector('button').click()")
    page.wait(f"{newest}.querySelectorAll('.event.pending').length === 3")
    assert page.get(f"[...{newest}.querySelectorAll('.event strong')].map((name) => name.innerText)") == [
        "OrderPlaced", "PaymentReceived", "OrderPaid"
    ]  # fmt: skip
    if PICTURE:
        page.get("scrollTo(0, 0)")
        Path(PICTURE).write_bytes(page.picture())

    # By itself: the page is not loaded again.
    page.get("window.isThisPage = true")
    demo.type("r", "The relay is running")
    page.wait(f"{newest}.querySelectorAll('.event.published.just-published').length === 3 && window.isThisPage")
    assert page.complaints == []


def test_a_declined_card_leaves_no_event_behind(page: browser.Browser) -> None:
    shown = "document.querySelector('#orders').innerHTML"
    page.wait("document.querySelector('#orders article') && !document.querySelector('.event.pending')")
    before = page.get(shown)
    page.get("document.querySelector('button[value=bad]').click()")
    page.wait("document.querySelector('[role=alert]')?.innerText.includes('declined')")
    assert page.get(shown).split() == before.replace(" just-published", "").split()
    assert page.complaints == []


def test_the_tests_of_the_shop_pass(stage) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(servers.ROOT / "django" / "src"),
        "PGPORT": str(stage.postgres.port),
        "PGUSER": "postgres",
    }
    for command in (["makemigrations", "--check", "--dry-run"], ["test"]):
        done = subprocess.run(
            [sys.executable, SHOP / "manage.py", *command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
