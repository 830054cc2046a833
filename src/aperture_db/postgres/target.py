"""The database to work on, where each of its settings was made, and how its password is kept out
of every text."""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

DEFAULT_PORT = "5432"
REDACTED = "********"
# Path makes one slash of two. What stands behind the last @ of a line is no password. That of an
# example is none, either.
PASSWORD_IN_URL = re.compile(r"(?P<start>\b[a-z+]+:/{1,2}[^\s:/@]*:)(?!password@).*(?=@)")
# In keyword=value, in a URL's query or a variable; not the example of an advice.
PASSWORD_SETTING = re.compile(
    r"(?P<start>password\s*=\s*)(?!\*|password\b)(?:'(?:[^'\\]|\\.)*'?|[^\s&'\"]+)", re.IGNORECASE
)
# Any of these names a server; PGPASSWORD or PGSSLMODE alone do not.
PG_TARGET_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE")
NAMING_KEYWORDS = ("host", "hostaddr", "port", "user", "dbname", "password")
SERVICE_VARIABLES = ("PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR")
# node-postgres's word for encryption without verification. libpq verifies with sslmode=require
# once there is a file of trusted certificates, so it gets one that can't exist.
NO_VERIFY = "no-verify"
NO_FILE = "/dev/null/no-root-certificate"
# Without them libpq takes the first server that answers, or rather a standby.
TAKES_ANY_SERVER = ("", "any", "prefer-standby")
# A shorter password is found in many words of a message.
MIN_UNMISTAKABLE_CHARACTERS = 4


@dataclass(frozen=True)
class Target:
    """The database to work on. `params` are libpq's keywords, the password among them."""

    params: Mapping[str, str] = field(repr=False)
    source: str
    """Where the connection string was found, in words for the user."""
    warnings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """The options that named it, for another command; empty where the environment or a file of
    the working directory did. A URL with a secret in it is left to be filled in."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where those settings come from that the connection string does not have, by keyword: a
    variable or a service."""

    def source_of(self, keyword: str) -> str:
        """Where a setting was made, in words for the user."""
        return self.origins.get(keyword, self.source)

    def value_of(self, keyword: str) -> str:
        """The value of a setting of the connection string or of a variable."""
        return self.params.get(keyword) or os.environ.get(self.source_of(keyword), "")

    @property
    def host(self) -> str:
        return self.params.get("host") or self.params.get("hostaddr") or ""

    @property
    def user(self) -> str:
        return self.params.get("user", "")

    @property
    def database(self) -> str:
        return self.params.get("dbname", "")

    @property
    def port(self) -> str:
        return self.params.get("port", DEFAULT_PORT)

    def __str__(self) -> str:
        """user@host:port/database, without the password."""
        hosts, ports = (self.host or "local socket").split(","), self.port.split(",")
        servers = [
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in zip(hosts, ports * (len(hosts) // len(ports)), strict=False)
        ]
        # A connection string may stand where a name belongs.
        return redact(f"{self.user}@{','.join(servers)}/{self.database}", "")

    def on_primary(self) -> Target:
        """The same database on the server that accepts writes, where several are named and the
        choice is left open."""
        attributes = self.params.get("target_session_attrs") or os.environ.get(
            "PGTARGETSESSIONATTRS", ""
        )
        if "," not in self.host or attributes not in TAKES_ANY_SERVER:
            return self
        return replace(self, params={**self.params, "target_session_attrs": "read-write"})

    def redact(self, text: str) -> str:
        """A text of somebody else's without the password.

        A password that is also a part of the target's name (postgres:postgres@…) stays: the
        name is shown on purpose.
        """
        password = self.params.get("password", "")
        if password in (self.user, self.host, self.port, self.database):
            password = ""
        short = len(password) < MIN_UNMISTAKABLE_CHARACTERS
        return redact(text, password, whole_words=short or password in str(self))


def redact(text: str, secret: str, *, whole_words: bool = False) -> str:
    """Replace `secret`, as it is or as URLs, JSON, SQL and Python write it, in any mixture.

    `whole_words` spares words that merely contain it: garbled, they would give it away. The
    password of any connection string is replaced, too.
    """
    if secret:
        pattern = "".join(_any_spelling(character) for character in secret)
        if whole_words:
            pattern = rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(pattern, REDACTED, text)
    text = PASSWORD_IN_URL.sub(rf"\g<start>{REDACTED}", text)
    return PASSWORD_SETTING.sub(rf"\g<start>{REDACTED}", text)


def _any_spelling(character: str) -> str:
    encoded = "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogateescape"))
    spellings = {
        character,
        quote(character, errors="surrogateescape"),
        json.dumps(character)[1:-1],
        json.dumps(character, ensure_ascii=False)[1:-1],
        repr(character)[1:-1],
        "\\" + character,
    }
    if character == " ":
        spellings.add("+")
    if character in "'\"":
        # In SQL.
        spellings.add(character * 2)
    plain = sorted(map(re.escape, spellings), key=len, reverse=True)
    return f"(?:(?i:{re.escape(encoded)})|{'|'.join(plain)})"


def complete(params: Mapping[str, str], source: str, environ: Mapping[str, str]) -> Target:
    """The target of a connection string, with what names it filled in as libpq would, so that PG*
    variables can't mix in: a URL without a port must not end up on the PGPORT of another server.

    PGPASSWORD counts, as with psql: it names nothing, and so stays known to `Target.redact`.
    """
    with _service(params.get("service")):
        outside = _outside_settings()
        if "service" in params:
            return _finished({**_naming_keywords(), **params}, params, outside, source)
    user = params.get("user") or account_name()
    defaults = {
        # libpq reads PGHOSTADDR unless the keyword is there, empty included.
        "hostaddr": "",
        "port": DEFAULT_PORT,
        "user": user,
        "dbname": params.get("dbname") or user,
    }
    if "host" not in params and "hostaddr" not in params:
        defaults["host"] = _default_socket_directory()
    if password := environ.get("PGPASSWORD"):
        defaults["password"] = password
    outside = {name: value for name, value in outside.items() if name not in defaults} | (
        {"password": (password, "PGPASSWORD")} if password else {}
    )
    return _finished({**defaults, **params}, params, outside, source)


def from_pg_variables() -> Target:
    """The target that libpq itself makes of PG* variables and a service file."""
    return _finished(_naming_keywords(), {}, _outside_settings(), "PG* variables")


def _finished(
    params: Mapping[str, str],
    own: Mapping[str, str],
    outside: Mapping[str, tuple[str, str]],
    source: str,
) -> Target:
    """`own` are the settings of the connection string itself, `outside` those that libpq adds,
    with where it finds them."""
    origins = {name: origin for name, (_, origin) in outside.items() if name not in own}
    mode = params.get("sslmode") or outside.get("sslmode", ("",))[0]
    if mode == NO_VERIFY:
        params = {**params, "sslmode": "require", "sslrootcert": NO_FILE}
    return Target(params, source, origins=origins)


def _naming_keywords() -> dict[str, str]:
    """The settings that name the target, from PG* variables and a service file. The others
    (PGSSLMODE, PGPASSFILE …) take effect when libpq connects."""
    values = _libpq_defaults()
    params = {name: values[name] for name in NAMING_KEYWORDS if name in values}
    params.setdefault("user", account_name())
    params.setdefault("dbname", params["user"])
    if "host" not in params and "hostaddr" not in params:
        params["host"] = _default_socket_directory()
    return params


def _outside_settings() -> dict[str, tuple[str, str]]:
    """The settings that PG* variables and a service make, each with where it was made. A service
    goes before a variable."""
    from psycopg import pq

    variables = {
        option.keyword.decode(): option.envvar.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar
    }
    found = {
        keyword: (os.environ[name], name)
        for keyword, name in variables.items()
        if os.environ.get(name)
    }
    if service := os.environ.get("PGSERVICE"):
        others = {name: None for name in variables.values() if name not in SERVICE_VARIABLES}
        with _environment(others):
            served = _libpq_defaults()
        with _environment(others | {"PGSERVICE": None}):
            plain = _libpq_defaults()
        for keyword, value in served.items():
            if value != plain.get(keyword) and keyword != "service":
                found[keyword] = (value, f"service {service}")
    return found


def _libpq_defaults() -> dict[str, str]:
    from psycopg import pq

    options = pq.Conninfo.get_defaults()
    return {option.keyword.decode(): option.val.decode() for option in options if option.val}


def _service(name: str | None) -> AbstractContextManager[None]:
    """Let libpq read the settings of this service, too."""
    return _environment({"PGSERVICE": name} if name else {})


@contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Change environment variables for the block; libpq reads no others. None unsets."""
    before = {name: os.environ.get(name) for name in variables}
    _set_variables(variables)
    try:
        yield
    finally:
        _set_variables(before)


def _set_variables(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _default_socket_directory() -> str:
    """Where servers of distributions put their socket; psycopg's bundled libpq says /tmp."""
    for directory in ("/var/run/postgresql", "/tmp"):  # noqa: S108
        if any(Path(directory).glob(".s.PGSQL.*")):
            return directory
    return "localhost"


def account_name() -> str:
    """The operating system's name of this account, libpq's default user."""
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return "postgres"
