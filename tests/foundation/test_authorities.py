"""Who is trusted under sslrootcert=system."""

from __future__ import annotations

import ssl

from psycopg.conninfo import make_conninfo

from aperture_db.postgres.connection import CA_BUNDLE_VARIABLES, find_ca_bundle
from tests.cli import run_cli
from tests.servers.tls import TlsServer


def test_openssl_is_led_to_the_authorities_of_this_machine() -> None:
    environ: dict[str, str] = {}
    find_ca_bundle(environ)
    paths = ssl.get_default_verify_paths()
    assert [environ.get(name) for name in CA_BUNDLE_VARIABLES] == [paths.cafile, paths.capath]
    assert environ


def test_a_variable_that_is_set_stays_alone() -> None:
    environ = {"SSL_CERT_DIR": "/own"}
    find_ca_bundle(environ)
    assert environ == {"SSL_CERT_DIR": "/own"}


def test_a_server_is_trusted_when_the_system_trusts_its_authority(tls_server: TlsServer) -> None:
    conninfo = make_conninfo(tls_server.conninfo, sslmode="verify-full", sslrootcert="system")
    refused = run_cli("migrate", "--status", conninfo=conninfo)
    assert refused.code == 3
    assert "no trusted certificate authority signed it" in refused.err
    trusted = run_cli("migrate", "--status", conninfo=conninfo, SSL_CERT_FILE=tls_server.authority)
    assert trusted.code == 0
