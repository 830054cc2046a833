"""Servers refuse to run as root; these are the embedded server's ways around that."""

from __future__ import annotations

from aperture_db.embedded import (
    _give_to_server_account as give_to_server_account,
)
from aperture_db.embedded import (
    _run_as_server_account as run_as_server_account,
)

__all__ = ["give_to_server_account", "run_as_server_account"]
