"""The authorities that this machine trusts, for `sslrootcert=system`."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def trust_system_authorities(environ: MutableMapping[str, str] = os.environ) -> None:
    """Lead OpenSSL to where Python finds them, unless a variable leads it somewhere already.

    libpq leaves `system` to its OpenSSL. The one inside psycopg's wheel looks into a directory
    that no machine has, and would trust nobody.
    """
    if any(environ.get(name) for name in VARIABLES):
        return
    import ssl

    paths = ssl.get_default_verify_paths()
    for name, path in zip(VARIABLES, (paths.cafile, paths.capath), strict=True):
        if path:
            environ[name] = path
