"""Where things are."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
#: The program as `cargo test` builds it.
WALPOST = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "walpost"
