"""What is true of PostgreSQL; here, where a server lives, and how extensions get there.

A managed service is recognised by its host name, or by the roles it keeps in every cluster, which
also works behind a tunnel or a local proxy. What runs by itself tells its packaging in version().
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# The newest release this tool was tried with; named where pgvector is built from source.
PGVECTOR_RELEASE = "0.8.6"


INTERNAL = {"json": False}


@dataclass(frozen=True)
class Platform:
    """A kind of server. Texts are templates over {major}, PostgreSQL's major version."""

    id: str
    name: str
    get_vector: str = field(metadata=INTERNAL)
    """How pgvector, or a newer one, gets among the server's files."""
    get_contrib: str = field(
        default="install the contrib modules of PostgreSQL {major}", metadata=INTERNAL
    )
    """The same for pgcrypto and pg_trgm, which belong to PostgreSQL itself."""
    admin_role: str = field(default="", metadata=INTERNAL)
    """The role whose members may create extensions without being superusers."""
    host_pattern: str = field(default="", metadata=INTERNAL)
    marker_role: str = field(default="", metadata=INTERNAL)
    """A role that exists in every cluster of this service, and nowhere else."""

    def __str__(self) -> str:
        """In words that follow "PostgreSQL 16"."""
        return f"{'on' if self.admin_role else 'from'} {self.name}"

    def how_to_get(self, extension: str, major: int) -> str:
        """What puts the extension's files, or newer ones, onto this server."""
        text = self.get_vector if extension == "vector" else self.get_contrib
        return text.format(major=major)


SUPABASE = Platform(
    "supabase",
    "Supabase",
    get_vector="upgrade the project's PostgreSQL (Project Settings, Infrastructure, Upgrade)",
    get_contrib="enable it in the dashboard under Database, Extensions",
    admin_role="postgres",
    host_pattern=r"\.supabase\.(co|com)$",
    marker_role="supabase_admin",
)
NEON = Platform(
    "neon",
    "Neon",
    get_vector="restart the compute in the Neon console, which brings the newest pgvector",
    get_contrib="restart the compute in the Neon console",
    admin_role="neon_superuser",
    host_pattern=r"\.neon\.tech$",
    marker_role="neon_superuser",
)
RDS = Platform(
    "rds",
    "Amazon RDS or Aurora",
    get_vector="upgrade the instance to the newest minor version of PostgreSQL {major} "
    "(aws rds modify-db-instance --engine-version)",
    get_contrib="allow it in the parameter rds.allowed_extensions of the parameter group",
    admin_role="rds_superuser",
    host_pattern=r"\.rds\.amazonaws\.com(\.cn)?$",
    marker_role="rds_superuser",
)
AZURE = Platform(
    "azure",
    "Azure Database for PostgreSQL",
    get_vector="add VECTOR,PGCRYPTO,PG_TRGM to the server parameter azure.extensions; a newer "
    "pgvector comes with the next scheduled maintenance",
    get_contrib="add VECTOR,PGCRYPTO,PG_TRGM to the server parameter azure.extensions",
    admin_role="azure_pg_admin",
    host_pattern=r"\.postgres(\.database|\.cosmos)\.(azure\.com|usgovcloudapi\.net|chinacloudapi\.cn)$",
    marker_role="azure_pg_admin",
)
CLOUD_SQL = Platform(
    "cloud_sql",
    "Google Cloud SQL",
    get_vector="take the newest maintenance version "
    "(gcloud sql instances patch INSTANCE --maintenance-version=VERSION)",
    get_contrib="take the newest maintenance version "
    "(gcloud sql instances patch INSTANCE --maintenance-version=VERSION)",
    admin_role="cloudsqlsuperuser",
    host_pattern=r"^/cloudsql/|\.sql\.goog\.?$",
    marker_role="cloudsqlsuperuser",
)
DIGITALOCEAN = Platform(
    "digitalocean",
    "DigitalOcean Managed PostgreSQL",
    get_vector="apply the pending maintenance update in the control panel (Settings, Maintenance "
    "window), or upgrade to a newer major version",
    get_contrib="apply the pending maintenance update in the control panel",
    admin_role="doadmin",
    host_pattern=r"\.db\.ondigitalocean\.com$",
    marker_role="doadmin",
)
MANAGED = (SUPABASE, NEON, RDS, AZURE, CLOUD_SQL, DIGITALOCEAN)

DOCKER = Platform(
    "docker",
    "a Docker image",
    get_vector="set `image: pgvector/pgvector:pg{major}` for the database in docker-compose.yml "
    "(its volume stays), then: docker compose pull && docker compose up -d",
)
DOCKER_ALPINE = Platform(
    "docker_alpine",
    "an Alpine-based Docker image",
    # musl and glibc sort text differently: the old volume would carry wrong indexes.
    get_vector="take a backup (aperture-db backup), set `image: pgvector/pgvector:pg{major}` with "
    "a new volume in docker-compose.yml, and restore into it",
)
DEBIAN = Platform(
    "debian",
    "a Debian or Ubuntu package",
    get_vector="sudo /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y && "
    "sudo apt-get install -y postgresql-{major}-pgvector",
    get_contrib="sudo apt-get install -y postgresql-{major}",
)
RED_HAT = Platform(
    "red_hat",
    "a Red Hat package",
    get_vector="sudo dnf install -y pgvector_{major} (from yum.postgresql.org)",
    get_contrib="sudo dnf install -y postgresql{major}-contrib",
)
SOURCE = Platform(
    "source",
    "a source build",
    get_vector=f"git clone --branch v{PGVECTOR_RELEASE} https://github.com/pgvector/pgvector && "
    "cd pgvector && make && sudo make install",
    get_contrib="in PostgreSQL's source tree: make -C contrib && sudo make -C contrib install",
)

MARKER_ROLES = tuple(platform.marker_role for platform in MANAGED)
ADMIN_ROLES = tuple(platform.admin_role for platform in MANAGED)


def recognize(
    host: str, version_text: str, *, cluster_name: str = "", roles: tuple[str, ...] = ()
) -> Platform:
    """Where the server lives.

    `host` is what the client connects to, `version_text` is version(), `roles` are the marker
    roles that exist in the cluster. Debian's packages give each cluster a name such as 15/main;
    the official image has the same build, from apt.postgresql.org, and no cluster name.
    """
    for platform in MANAGED:
        if re.search(platform.host_pattern, host, re.IGNORECASE):
            return platform
    for platform in MANAGED:
        if platform.marker_role in roles:
            return platform
    if "(Alpine" in version_text or "-musl" in version_text:
        return DOCKER_ALPINE
    if re.match(r"PostgreSQL \S+ \((Debian|Ubuntu)", version_text):
        return DOCKER if "pgdg" in version_text and not cluster_name else DEBIAN
    return RED_HAT if "(Red Hat" in version_text else SOURCE


def fitting_shm_size(message: str) -> str:
    """Room for the segment whose size the message tells."""
    sizes = [int(number) for number in re.findall(r"\d{6,}", message.partition("/PostgreSQL.")[2])]
    return shm_size(sizes[-1] if sizes else 192 << 20)


def shm_size(build_bytes: int) -> str:
    """The shm_size for a parallel build with that memory, as docker-compose.yml has it: the
    segment, and the 64 MB that Docker gives anyway."""
    return f"{-(-build_bytes // (64 << 20)) * 64 + 64}mb"
