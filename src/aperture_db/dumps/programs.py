"""Finds pg_dump, pg_restore and psql of the right version, and gives them our connection.

pg_dump refuses a server of a newer major version than its own; pg_restore reads archives of older
versions of pg_dump, but not of newer ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aperture_db.errors import ClientProgramError, UsageError, lack_of_resources
from aperture_db.postgres.connection import APPLICATION_NAME, KEEPALIVES, Connection, is_pooled
from aperture_db.postgres.embedded import unpacked_programs
from aperture_db.postgres.session import CONTRACT, SERVER_KEEPALIVES
from aperture_db.safe_files import unnamed_text

# Where packages put the programs of one major version, so that several can be installed.
VERSIONED_DIRECTORIES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/libexec/postgresql*",  # Alpine
    "/usr/pgsql-*/bin",  # yum.postgresql.org
    "/usr/local/pgsql/bin",  # built from source
    "/opt/homebrew/opt/postgresql@*/bin",
    "/opt/homebrew/opt/libpq*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/opt/libpq*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
# Debian's /usr/bin/pg_dump is a script that picks a version by rules of its own.
WRAPPER = "pg_wrapper"
PROBE_TIMEOUT_SECONDS = 20
# docker/install_tool.sh leaves it where the tool is part of an image.
IMAGE_MARK = Path(sys.prefix) / "part-of-an-image"

# The levels of each method that every pg_dump with the method takes.
COMPRESSION_LEVELS = {"zstd": range(1, 23), "gzip": range(1, 10), "lz4": range(1, 13)}
# Before 16, pg_dump knows no names of methods.
FIRST_MAJOR_WITH_METHODS = 16
# Nothing can listen below it, so that a pg_dump that accepts its arguments fails to connect.
NO_SERVER = "host=/dev/null"

# What a child needs from us besides its connection: no PG* variable of the caller is among it.
PASSED_VARIABLES = (
    "PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "OPENSSL_CONF", "KRB5CCNAME", "KRB5_CONFIG",
)  # fmt: skip
# Keywords whose value must not come from our own connection: pg_dump has its own encoding and
# name, and a password file is not needed once the password is known.
LEFT_OUT = {"passfile", "client_encoding", "application_name", "service", "password"}
# Secrets for which libpq reads no variable. They go through a service file.
SERVICE_FILE_KEYWORDS = ("sslpassword", "scram_client_key", "scram_server_key")
SERVICE = "aperture_db"


@dataclass(frozen=True)
class ClientPrograms:
    """pg_dump and pg_restore of one installation."""

    directory: Path
    version: tuple[int, int]
    """Major and minor: (16, 4)."""

    @property
    def major(self) -> int:
        return self.version[0]

    @property
    def pg_dump(self) -> Path:
        return self.directory / "pg_dump"

    @property
    def pg_restore(self) -> Path:
        return self.directory / "pg_restore"

    @property
    def psql(self) -> Path:
        """Some packages leave it out."""
        return self.directory / "psql"

    def __str__(self) -> str:
        return f"{self.version[0]}.{self.version[1]} in {self.directory}"


@dataclass(frozen=True)
class Compression:
    """The compression of a dump's rows: a method of pg_dump, and its level."""

    method: str
    level: int | None = None
    """None: pg_dump's default."""

    def __str__(self) -> str:
        return self.method if self.level is None else f"{self.method}:{self.level}"

    def argument_for(self, programs: ClientPrograms) -> str:
        """The option for pg_dump."""
        if programs.major >= FIRST_MAJOR_WITH_METHODS:
            return f"--compress={self}"
        return f"--compress={0 if self.method == 'none' else self.level or 6}"

    def is_supported_by(self, programs: ClientPrograms) -> bool:
        """Tell whether pg_dump was built with the method."""
        return self.method in ("none", "gzip") or (
            programs.major >= FIRST_MAJOR_WITH_METHODS
            and _accepts(programs.pg_dump, self.argument_for(programs))
        )


# Of pgvector's embeddings, zstd:3 makes smaller files than gzip in a ninth of its processor time.
DEFAULT_COMPRESSIONS = (Compression("zstd", 3), Compression("gzip", 6))


def parse_compression(text: str) -> Compression:
    """Read METHOD[:LEVEL]. Raises ValueError with the reason."""
    method, colon, level = text.partition(":")
    levels = COMPRESSION_LEVELS.get(method)
    if levels is None and method != "none":
        methods = ", ".join(COMPRESSION_LEVELS)
        raise ValueError(f"{method!r} is not a compression method: {methods} or none")
    if not colon:
        return Compression(method)
    if levels is None:
        raise ValueError("none has no level")
    if not (level.isascii() and level.isdecimal() and int(level) in levels):
        raise ValueError(f"{method} has the levels {levels[0]} to {levels[-1]}, not {level!r}")
    return Compression(method, int(level))


def default_compression(programs: ClientPrograms) -> Compression:
    """The first of DEFAULT_COMPRESSIONS that pg_dump was built with."""
    return next(each for each in DEFAULT_COMPRESSIONS if each.is_supported_by(programs))


@cache
def _accepts(pg_dump: Path, argument: str) -> bool:
    """Run pg_dump without a server: it refuses a method that it lacks before it connects."""
    try:
        done = subprocess.run(
            [pg_dump, "--format=custom", argument, f"--dbname={NO_SERVER}", "--no-password"],
            env=base_environment(),
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "compress" not in done.stderr


def base_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a client program that connects to nothing; messages are in English."""
    passed = {name: environ[name] for name in PASSED_VARIABLES if environ.get(name)}
    return {"PATH": os.defpath} | passed | {"LC_ALL": "C"}


def programs_for_server(
    server_version: int, compression: Compression | None = None
) -> ClientPrograms:
    """The oldest installed programs that can dump the server, so that most others can restore.

    `server_version` is PostgreSQL's number, 160004 for 16.4; `compression` is one that pg_dump
    has to support. Raises ClientProgramError.
    """
    major = server_version // 10_000
    found = installed_programs(os.environ.get("PATH", os.defpath))
    usable = [programs for programs in found if programs.major >= major]
    if not usable:
        raise _missing(major, found)
    for programs in usable:
        if compression is None or compression.is_supported_by(programs):
            return programs
    assert compression is not None
    raise ClientProgramError(
        f"no installed pg_dump can compress with {compression}",
        why=f"{compression.method} needs pg_dump 16 or newer, built with {compression.method}; "
        f"the newest one installed is {usable[-1]}",
        next_step=f"choose --compress {DEFAULT_COMPRESSIONS[-1]}, or "
        + how_to_get(max(major, FIRST_MAJOR_WITH_METHODS)),
    )


def newest_programs() -> ClientPrograms:
    """The installed programs that read the most archives. Raises ClientProgramError."""
    found = installed_programs(os.environ.get("PATH", os.defpath))
    if not found:
        raise _missing(None, found)
    return found[-1]


def psql_for_server(server_version: int) -> Path:
    """The oldest installed psql that knows the server's catalogs, else the newest one, which
    still runs SQL. `server_version` is PostgreSQL's number. Raises ClientProgramError.
    """
    major = server_version // 10_000
    found = installed_programs(os.environ.get("PATH", os.defpath))
    usable = [programs for programs in found if os.access(programs.psql, os.X_OK)]
    if not usable:
        raise ClientProgramError(
            "no psql is installed",
            why="the client programs of PostgreSQL are not on this machine"
            if not found
            else f"the client programs in {found[-1].directory} come without it",
            next_step=how_to_get(major),
        )
    return next((each.psql for each in usable if each.major >= major), usable[-1].psql)


@cache
def installed_programs(path: str) -> tuple[ClientPrograms, ...]:
    """Every usable pair of pg_dump and pg_restore, oldest version first, one per version.

    `path` is searched like PATH, after the places that packages use.
    """
    found: dict[tuple[int, int], ClientPrograms] = {}
    for directory in _candidates(path):
        version = _read_version(directory)
        if version and version not in found:
            found[version] = ClientPrograms(directory, version)
    return tuple(found[version] for version in sorted(found))


def _candidates(path: str) -> Iterator[Path]:
    seen: set[Path] = set()
    for directory in _directories(path):
        with suppress(OSError):
            program = (directory / "pg_dump").resolve(strict=True)
            if program in seen or program.name == WRAPPER:
                continue
            seen.add(program)
            if os.access(directory / "pg_restore", os.X_OK):
                yield directory


def _directories(path: str) -> Iterator[Path]:
    for pattern in VERSIONED_DIRECTORIES:
        yield from Path("/").glob(pattern.removeprefix("/"))
    yield from (Path(entry) for entry in path.split(os.pathsep) if entry)
    # The demo server's programs serve as well, where they have been unpacked. An account without
    # a home has none.
    with suppress(UsageError):
        try:
            yield from unpacked_programs()
        except OSError as error:
            if lacking := lack_of_resources("the client programs could not be looked for", error):
                raise lacking from error


def _read_version(directory: Path) -> tuple[int, int] | None:
    try:
        done = subprocess.run(
            [directory / "pg_dump", "--version"],
            env=base_environment(),
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_SECONDS,
            check=False,
        )
    except OSError as error:
        # It may well be installed.
        if lacking := lack_of_resources(f"{directory / 'pg_dump'} could not be started", error):
            raise lacking from error
        return None
    except subprocess.TimeoutExpired:
        return None
    match = re.match(r"pg_dump \(PostgreSQL\) (\d+)(?:\.(\d+))?", done.stdout)
    if done.returncode != 0 or not match:
        return None
    return int(match[1]), int(match[2] or 0)


def _missing(major: int | None, found: Sequence[ClientPrograms]) -> ClientProgramError:
    wanted = f"PostgreSQL {major}" if major else "PostgreSQL"
    why = "pg_dump and pg_restore are not installed"
    if found:
        why = f"pg_dump cannot dump a newer server, and the newest one installed is {found[-1]}"
    return ClientProgramError(
        f"no pg_dump for {wanted} is installed",
        why=why,
        next_step=how_to_get(major or 16),
    )


def too_old_to_read(path: Path, made_by: str) -> ClientProgramError:
    """The error for an archive of a newer pg_dump than the installed ones."""
    # 18.1, 19beta1 (Debian …)
    found = re.match(r"\d+", made_by)
    major = int(found[0]) if found else None
    return ClientProgramError(
        f"{path} was made by a newer pg_dump ({made_by}) than those installed",
        why=f"pg_restore cannot read newer archives, and the newest one installed is "
        f"{newest_programs()}",
        next_step=how_to_get(major or 18),
    )


def how_to_get(major: int, image_mark: Path = IMAGE_MARK) -> str:
    """How to install the client programs of a major version. An image has to be built again:
    packages installed into a container are lost with it."""
    if not image_mark.exists():
        return f"install it: {how_to_install(major)}"
    present = {each.major for each in installed_programs(os.environ.get("PATH", os.defpath))}
    majors = " ".join(map(str, sorted(present | {major})))
    return f'build this image again with --build-arg POSTGRESQL_CLIENTS="{majors}"'


def how_to_install(major: int, os_release: Path = Path("/etc/os-release")) -> str:
    """The command that installs the client programs of a major version on this machine."""
    try:
        text = os_release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = " ".join(re.findall(r'^ID(?:_LIKE)?="?([^"\n]*)', text, re.MULTILINE)).split()
    if "alpine" in names:
        return f"apk add postgresql{major}-client"
    if {"debian", "ubuntu"} & set(names):
        return (
            "apt-get install -y postgresql-common && "
            "/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y && "
            f"apt-get install -y postgresql-client-{major}"
        )
    if {"fedora", "rhel", "centos"} & set(names):
        return f"dnf install -y postgresql{major} (from yum.postgresql.org)"
    if {"arch", "suse", "opensuse"} & set(names):
        return f"the package of this distribution with pg_dump {major}"
    if not text:
        return f"brew install libpq (or postgresql@{major})"
    return f"the PostgreSQL {major} client programs, https://www.postgresql.org/download/"


@contextmanager
def libpq_environment(conn: Connection) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Environment variables that connect libpq to where `conn` is connected, with its TLS settings,
    and the descriptors that the child has to inherit with them.

    Built from the live connection: the sources of its parameters (URL, service file, password
    file) are resolved already, and of several hosts the child takes the one that answered.
    Secrets are in no argument, and in no file that has a name.
    """
    options = {
        option.keyword.decode(): (option.envvar, option.val.decode())
        for option in conn.pgconn.info
        if option.val
    }
    environment = base_environment()
    for keyword, (variable, value) in options.items():
        if variable and keyword not in LEFT_OUT:
            environment[variable.decode()] = value
    environment |= _address(conn)
    environment["PGAPPNAME"] = APPLICATION_NAME
    if conn.info.password:
        environment["PGPASSWORD"] = conn.info.password
    secrets = {name: options[name][1] for name in SERVICE_FILE_KEYWORDS if name in options}
    if not secrets:
        yield environment, []
        return
    lines = [f"[{SERVICE}]", *(f"{name}={value}" for name, value in secrets.items()), ""]
    with unnamed_text("\n".join(lines)) as file:
        environment |= {"PGSERVICEFILE": str(file.inherited_path), "PGSERVICE": SERVICE}
        yield environment, [file.descriptor]


# Settings of the contract that pg_dump takes from the server and that a dump is written by.
DECIDING = ("standard_conforming_strings", "quote_all_identifiers", "bytea_output")


def server_settings(conn: Connection, environment: Mapping[str, str]) -> dict[str, str]:
    """PGOPTIONS for pg_dump: the server notices that the network to it vanished, and the defaults
    of a role or database decide nothing about what it writes. Empty through a pooler, which
    refuses them."""
    if is_pooled(conn):
        return {}
    keepalives = [f"-c {name}={value}" for name, value in SERVER_KEEPALIVES.items()]
    written = [f"-c {name}={CONTRACT[name]}" for name in DECIDING]
    users = environment.get("PGOPTIONS", "")
    return {"PGOPTIONS": " ".join(filter(None, [*keepalives, users, *written]))}


def connection_arguments(conn: Connection) -> list[str]:
    """Parameters without an environment variable. Without keepalives a firewall may cut a long
    dump."""
    options = {option.keyword.decode(): option.val for option in conn.pgconn.info}
    values = {name: options.get(name) for name in KEEPALIVES}
    pairs = " ".join(f"{name}={value.decode()}" for name, value in values.items() if value)
    return [f"--dbname={pairs}", "--no-password"]


def _address(conn: Connection) -> dict[str, str]:
    address = {"PGHOST": conn.info.host, "PGPORT": str(conn.info.port)}
    if conn.info.hostaddr and not conn.info.host.startswith("/"):
        address["PGHOSTADDR"] = conn.info.hostaddr
    return address
