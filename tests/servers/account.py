"""Servers refuse to run as root; these are the embedded server's ways around that."""

from __future__ import annotations

from aperture_db.postgres.server_account import give_to_server_account, run_as_server_account

__all__ = ["give_to_server_account", "run_as_server_account"]
