"""The demo's connection string."""

from __future__ import annotations

import re
import secrets

from aperture_db.postgres.embedded import BIND_ADDRESS

USER = "aperture"
DATABASE = "aperture"
PASSWORD_BYTES = 24


def new_password() -> str:
    """Hexadecimal, so that it needs no encoding in a URL."""
    return secrets.token_hex(PASSWORD_BYTES)


def make_url(password: str, port: int, database: str) -> str:
    return f"postgresql://{USER}:{password}@{BIND_ADDRESS}:{port}/{database}"


def with_port(url: str, port: int) -> str:
    return re.sub(r":\d+/", f":{port}/", url)
