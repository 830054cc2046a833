"""Where the connection string comes from."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from aperture_db.errors import UsageError
from aperture_db.postgres import conninfo
from aperture_db.postgres.target import DEFAULT_PORT, Target

URL_OPTION = "--database-url"
ENV_FILES = (".env.local", ".env")
# Any of these names a server; PGPASSWORD or PGSSLMODE alone do not.
PG_TARGET_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE")
NAMING_KEYWORDS = ("host", "hostaddr", "port", "user", "dbname", "password")
# What a command to paste must not hold.
SECRET_KEYWORDS = {"password", "sslpassword", "scram_client_key", "scram_server_key"}
URL_TO_FILL_IN = "postgresql://…"


def resolve_target(
    url: str | None,
    env_file: Path | None,
    environ: Mapping[str, str] = os.environ,
    directory: Path | None = None,
) -> Target:
    """Find the connection string; the first source that has one wins whole.

    The order: `url` (--database-url), DATABASE_URL, the file named by DATABASE_URL_FILE,
    `env_file` or else .env.local and .env in `directory`, the PG* variables. An empty value
    counts as unset. Raises UsageError when there is none or it can't be read.
    """
    if env_file is not None and not _is_file(env_file):
        raise _unreadable(str(env_file), "there is no such file", "--env-file")
    for text, source in _candidates(url, env_file, environ, directory or Path()):
        warnings: tuple[str, ...] = ()
        if env_file is not None and source != str(env_file):
            warnings = (f"{env_file} is not used: {source} goes before it",)
        target = _target_from_text(text, source, warnings, environ)
        if env_file is not None and source == str(env_file):
            return replace(target, options=("--env-file", source))
        return target
    if any(environ.get(name) for name in PG_TARGET_VARIABLES):
        return _target_from_pg_variables()
    env_files = f"{env_file}" if env_file else "an env file"
    raise UsageError(
        "no database is configured",
        why="none of --database-url, DATABASE_URL, DATABASE_URL_FILE, "
        f"a DATABASE_URL in {env_files}, and PGHOST is set",
        next_step=f"export DATABASE_URL='{conninfo.URL_EXAMPLE}', "
        "or try the tool without a database: aperture-db demo",
        code="no_database_named",
    )


def _candidates(
    url: str | None, env_file: Path | None, environ: Mapping[str, str], directory: Path
) -> Iterator[tuple[str, str]]:
    if url and url.strip():
        yield url, URL_OPTION
    yield from _from_variables(environ, "")
    for path in [env_file] if env_file else [directory / name for name in ENV_FILES]:
        if _is_file(path):
            yield from _from_variables(_read_env_file(path), str(path) if env_file else path.name)


def _from_variables(variables: Mapping[str, str | None], origin: str) -> Iterator[tuple[str, str]]:
    """DATABASE_URL, then the file that DATABASE_URL_FILE names; `origin` is an env file's name."""
    if url := (variables.get("DATABASE_URL") or "").strip():
        yield url, origin or "DATABASE_URL"
    if path := (variables.get("DATABASE_URL_FILE") or "").strip():
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise _unreadable(path, why, "DATABASE_URL_FILE") from error
        if not text:
            raise _unreadable(path, "it is empty", "DATABASE_URL_FILE")
        yield text, origin or f"DATABASE_URL_FILE ({path})"


def _read_env_file(path: Path) -> dict[str, str | None]:
    from dotenv import dotenv_values

    try:
        return dotenv_values(path, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise _unreadable(str(path), why, "the env file") from error


def _is_file(path: Path) -> bool:
    """Whether there is such a file, as far as this account may look."""
    with suppress(OSError):
        return path.is_file()
    return False


def _target_from_text(
    text: str, source: str, warnings: tuple[str, ...], environ: Mapping[str, str]
) -> Target:
    try:
        parsed = conninfo.parse(text, _libpq_keywords())
    except UsageError as error:
        error.what = f"the connection string from {source} can't be read"
        raise
    if parsed.dropped_options:
        names = ", ".join(parsed.dropped_options)
        warnings += (f"unknown options in the connection string are ignored: {names}",)
    options: tuple[str, ...] = ()
    if source == URL_OPTION:
        has_secret = parsed.dropped_options or SECRET_KEYWORDS & parsed.params.keys()
        options = (URL_OPTION, URL_TO_FILL_IN if has_secret else text)
    return Target(_complete(parsed.params, environ), source, warnings, options)


def _complete(params: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Fill what names the target as libpq would, so that PG* variables can't mix in: a URL
    without a port must not end up on the PGPORT of another server.

    PGPASSWORD counts, as with psql: it names nothing, and so stays known to `Target.redact`.
    """
    if service := params.get("service"):
        return _naming_keywords({"PGSERVICE": service}) | dict(params)
    user = params.get("user") or _account_name()
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
    return defaults | dict(params)


def _target_from_pg_variables() -> Target:
    return Target(_naming_keywords({}), "PG* variables")


def _naming_keywords(variables: Mapping[str, str]) -> dict[str, str]:
    """What libpq itself makes of PG* variables and a service file, with `variables` added.

    The variables that name nothing (PGSSLMODE, PGPASSFILE …) take effect when it connects.
    """
    from psycopg import pq

    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        options = pq.Conninfo.get_defaults()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    values = {option.keyword.decode(): option.val.decode() for option in options if option.val}
    params = {name: values[name] for name in NAMING_KEYWORDS if name in values}
    params.setdefault("user", _account_name())
    params.setdefault("dbname", params["user"])
    if "host" not in params and "hostaddr" not in params:
        params["host"] = _default_socket_directory()
    return params


def _libpq_keywords() -> list[str]:
    from psycopg import pq

    return [option.keyword.decode() for option in pq.Conninfo.get_defaults()]


def _default_socket_directory() -> str:
    """Where servers of distributions put their socket; psycopg's bundled libpq says /tmp."""
    for directory in ("/var/run/postgresql", "/tmp"):  # noqa: S108
        if any(Path(directory).glob(".s.PGSQL.*")):
            return directory
    return "localhost"


def _account_name() -> str:
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return "postgres"


def _unreadable(path: str, why: str, named_by: str) -> UsageError:
    return UsageError(
        f"{path} can't be read",
        why=why,
        next_step=f"correct {named_by}, or check the file's rights with: ls -l {path}",
        code="unreadable_file",
    )
