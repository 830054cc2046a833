"""A server that speaks TLS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from tests.servers.account import give_to_server_account
from tests.servers.certificates import make_authority, make_server_certificate
from tests.servers.clusters import create_cluster, start_on_free_port, superuser_conninfo

HOST = "localhost"
# Without a password these roles get so far as to hear what is wrong with them: tls_only may
# not come without TLS, stranger not at all, and ghost does not exist.
HBA = """\
hostnossl all tls_only all reject
host all stranger all reject
host all ghost all trust
"""


@dataclass(frozen=True)
class TlsServer:
    """The embedded server with ssl = on. Connect to it as
    `make_conninfo(tls_server.conninfo, sslmode="verify-full", sslrootcert=…)`."""

    conninfo: str
    """Superuser's access under the host name of the certificate, sslmode not set."""
    authority: str
    """File with the certificate of the authority that signed the server's."""
    other_authority: str
    """File with the certificate of an authority that did not."""

    @property
    def under_another_name(self) -> str:
        """The same server, under a host name that its certificate does not have."""
        return make_conninfo(self.conninfo, host="127.0.0.1")


def start_tls_server(programs: Path, home: Path) -> dict[str, str]:
    """Start it; the answer has the fields of TlsServer."""
    cluster, password = create_cluster(programs, home, {"ssl": "on"})
    authority, other = home / "authority.crt", home / "other.crt"
    signer = make_authority(authority)
    make_authority(other, "Another authority")
    certificate, key = cluster.data / "server.crt", cluster.data / "server.key"
    make_server_certificate(signer, HOST, certificate, key)
    give_to_server_account(certificate)
    give_to_server_account(key)
    hba = cluster.data / "pg_hba.conf"
    hba.write_text(HBA + hba.read_text())
    conninfo = superuser_conninfo(start_on_free_port(cluster), password)
    return {
        "conninfo": make_conninfo(conninfo, host=HOST),
        "authority": str(authority),
        "other_authority": str(other),
    }
