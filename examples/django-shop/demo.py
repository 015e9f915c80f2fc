"""The shop with everything that it needs: `make demo-django`.

Starts a Postgres, a nats-server and walpost in a temporary folder, makes the tables, places some orders and opens the
shop. Ctrl-C ends it all, and nothing is left behind. Not part of the example: your project has its own servers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

SHOP = Path(__file__).resolve().parent
PACKAGE = SHOP.parents[1] / "django"
sys.path[:0] = [str(SHOP), str(PACKAGE), str(PACKAGE / "src")]

from tests import servers  # noqa: E402 - found by the line above

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: How often to look whether the shop is still there.
LOOK_SECONDS = 0.5

WELCOME = """
The shop is open: {address}

  r and Enter   stop the relay: events stay pending; once more starts it, and they turn published
  Ctrl-C        end everything
"""


def main() -> int:
    """Run the demonstration until somebody ends it; the exit code."""
    parser = argparse.ArgumentParser(description="The example shop on private servers.")
    parser.add_argument("--port", type=int, default=8000, help="where the shop listens; 0 for any free port")
    port = parser.parse_args().port
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with everything(port) as (shop, relay, address):
            say(WELCOME.format(address=address))
            return serve(shop, relay)
    except KeyboardInterrupt:
        return 0
    finally:
        say("All is ended, and the temporary folder is gone.")


@contextlib.contextmanager
def everything(port: int) -> Iterator[tuple[servers.Process, servers.Relay, str]]:
    """Start it all; the shop, the relay, and where the shop is."""
    with servers.private_folder() as folder, contextlib.ExitStack() as running:
        running.callback(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))  # a second Ctrl-C comes too late
        postgres = servers.Postgres(folder)
        running.callback(postgres.stop)
        nats = servers.Nats(folder)
        running.callback(nats.stop)
        with postgres.connect() as server:
            server.execute("CREATE DATABASE shop")
        say(f"  * logs          {folder}")
        say(f"  * postgres      {postgres.url('shop')}")
        say(f"  * nats          {nats.url}")
        os.environ.update(PGHOST="127.0.0.1", PGPORT=str(postgres.port), PGUSER="postgres", PGDATABASE="shop")
        os.environ.update(PYTHONPATH=os.pathsep.join(sys.path[:3]), DJANGO_SETTINGS_MODULE="shop.settings")
        make_tables()
        relay = servers.Relay(folder, postgres.url("shop"), nats)
        running.callback(relay.stop)
        say(f"  * walpost run   http://{relay.environment['WALPOST_ADMIN_LISTEN']}/status")
        first_orders()
        address = f"127.0.0.1:{port or servers.free_port()}"
        command = [sys.executable, SHOP / "manage.py", "runserver", "--noreload", "--skip-checks", address]
        shop = servers.Process(command, folder / "shop.log")
        running.callback(shop.stop)
        servers.eventually(lambda: answers(shop, address), "the shop")
        yield shop, relay, f"http://{address}/"


def make_tables() -> None:
    """Run the migrations: those of the shop, and those that make the outbox."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def first_orders() -> None:
    """Have something to look at."""
    from django.db import connection

    from orders import services
    from orders.views import SHELF

    customers = ("Ada", "Grace", "Edsger")
    placed = [services.place_order(name, item, SHELF[item]) for name, item in zip(customers, SHELF, strict=True)]
    services.pay(placed[0].pk)
    services.cancel(placed[1].pk)
    connection.close()


def serve(shop: servers.Process, relay: servers.Relay) -> int:
    """Do what is typed, until the shop ends, which it does not by itself."""
    runs, typed = True, [sys.stdin]
    while shop.child.poll() is None:
        if not typed:
            time.sleep(LOOK_SECONDS)
        elif select.select(typed, [], [], LOOK_SECONDS)[0]:
            line = sys.stdin.readline()
            if not line:
                typed = []  # there is no terminal, and nothing will be typed
            elif line.strip() == "r":
                runs = not runs
                relay.start() if runs else relay.stop()
                say("The relay is running." if runs else "The relay is stopped.")
    sys.stderr.write(f"The shop has ended:\n{shop.said()}")
    return 1


def answers(shop: servers.Process, address: str) -> bool:
    """Tell whether the shop is open."""
    if shop.child.poll() is not None:
        raise AssertionError(f"The shop did not start:\n{shop.said()}")
    with contextlib.suppress(URLError), urlopen(f"http://{address}/", timeout=5) as answer:
        return bool(answer.status == 200)  # noqa: PLR2004 - it says what it is
    return False


def say(text: str) -> None:
    """Print a line now, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _interrupt(_: int, __: FrameType | None) -> None:
    """End as by Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
