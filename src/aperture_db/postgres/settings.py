"""Where the connection string comes from, and how it is read in every form that users have.

libpq is stricter than the driver Aperture uses: it takes a raw `@` in a password for the start of
the host and refuses a raw `%`, a space and unknown options. So URLs are taken apart here, and
libpq gets single keywords. No message repeats any part of a URL but its options' names: where the
parts are unclear, any of them may be the password.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from aperture_db.errors import UsageError
from aperture_db.format import shell_command
from aperture_db.postgres.target import (
    DEFAULT_PORT,
    NO_VERIFY,
    PG_TARGET_VARIABLES,
    Target,
    complete,
    from_pg_variables,
)
from aperture_db.safe_files import read_input_text

MOST_FILE_BYTES = 1 << 20
URL_OPTION = "--database-url"
ENV_FILES = (".env.local", ".env")
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
    if env_file is not None:
        refuse_connection_string(str(env_file), "--env-file")
        if why := _why_no_file(env_file):
            raise _unreadable(str(env_file), why, "--env-file")
    for text, source in _candidates(url, env_file, environ, directory or Path()):
        warnings: tuple[str, ...] = ()
        if env_file is not None and source != str(env_file):
            warnings = (f"{env_file} is not used: {source} goes before it",)
        target = _target_from_text(text, source, warnings, environ)
        if env_file is not None and source == str(env_file):
            return replace(target, options=("--env-file", source))
        return target
    if named := [name for name in PG_TARGET_VARIABLES if environ.get(name)]:
        for name in named:
            if CONNECTION_STRING.search(environ[name]):
                raise UsageError(
                    f"{name} holds a connection string",
                    why="it takes one part of it only",
                    next_step=f"name the database with DATABASE_URL, and unset {name}",
                    code="bad_connection_string",
                )
        return from_pg_variables()
    env_files = f"{env_file}" if env_file else "an env file"
    raise UsageError(
        "no database is configured",
        why="none of --database-url, DATABASE_URL, DATABASE_URL_FILE, "
        f"a DATABASE_URL in {env_files}, and PGHOST is set",
        next_step=f"export DATABASE_URL='{URL_EXAMPLE}', "
        "or try the tool without a database: aperture-db demo",
        code="no_database_named",
    )


def _candidates(
    url: str | None, env_file: Path | None, environ: Mapping[str, str], directory: Path
) -> Iterator[tuple[str, str]]:
    if url and url.strip():
        yield url, URL_OPTION
    yield from _from_variables(environ, "")
    if env_file:
        yield from _from_variables(_read_env_file(env_file, "--env-file"), str(env_file))
        return
    for path in (directory / name for name in ENV_FILES):
        if _is_file(path):
            yield from _from_variables(_read_env_file(path, "the env file"), path.name)


def _from_variables(variables: Mapping[str, str | None], origin: str) -> Iterator[tuple[str, str]]:
    """DATABASE_URL, then the file that DATABASE_URL_FILE names; `origin` is an env file's name."""
    if url := (variables.get("DATABASE_URL") or "").strip():
        yield url, origin or "DATABASE_URL"
    if path := (variables.get("DATABASE_URL_FILE") or "").strip():
        refuse_connection_string(path, "DATABASE_URL_FILE")
        text = _read(Path(path), "DATABASE_URL_FILE").strip()
        if ENV_LINE.search(text):
            # Somebody has made it from an env file.
            text = (_parse_env(text).get("DATABASE_URL") or "").strip()
        if not text:
            raise _unreadable(path, "it is empty", "DATABASE_URL_FILE")
        yield text, origin or f"DATABASE_URL_FILE ({path})"


def _read_env_file(path: Path, named_by: str) -> dict[str, str | None]:
    return _parse_env(_read(path, named_by))


def _parse_env(text: str) -> dict[str, str | None]:
    from dotenv import dotenv_values

    return dotenv_values(stream=io.StringIO(text))


def _read(path: Path, named_by: str) -> str:
    try:
        return read_input_text(path, MOST_FILE_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise _unreadable(str(path), why, named_by) from error


def _why_no_file(path: Path) -> str:
    """Why nothing can be read from such a path, empty where there is a file, a FIFO or a device."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "there is no such file"
    return "it is a directory" if stat.S_ISDIR(mode) else ""


def _is_file(path: Path) -> bool:
    """Whether there is such a file, as far as this account may look."""
    with suppress(OSError):
        return path.is_file()
    return False


def _target_from_text(
    text: str, source: str, warnings: tuple[str, ...], environ: Mapping[str, str]
) -> Target:
    try:
        parsed = parse_conninfo(text, _libpq_keywords())
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
    target = complete(parsed.params, source, environ)
    return replace(target, warnings=warnings, options=options)


def _libpq_keywords() -> list[str]:
    from psycopg import pq

    return [option.keyword.decode() for option in pq.Conninfo.get_defaults()]


def refuse_connection_string(text: str, named_by: str) -> None:
    """Raise UsageError for a connection string where the name of a file belongs. It is not
    repeated, as it may hold a password."""
    if CONNECTION_STRING.search(text):
        is_option = "_" not in named_by
        raise UsageError(
            f"{named_by} takes the name of a file, and got a connection string",
            why="the name of a file has no user, password and host",
            next_step=f"name the database with {URL_OPTION if is_option else 'DATABASE_URL'}, and "
            f"{'leave out' if is_option else 'unset'} {named_by} or let it name a file",
            code="not_a_file_name",
        )


def _unreadable(path: str, why: str, named_by: str) -> UsageError:
    return UsageError(
        f"{path} can't be read",
        why=why,
        next_step=f"correct {named_by}, or check the file's rights with: "
        + shell_command("ls", "-l", Path(path)),
        code="unreadable_file",
    )


URL_EXAMPLE = "postgresql://user:password@host:5432/database"
SCHEMES = ("postgresql://", "postgres://")
# Path makes one slash of two.
CONNECTION_STRING = re.compile(
    r"^\W*(?:export\s+)?(?:\w+\s*=\W*)?[\w+]+:/{1,2}\S*@|^\W*postgres(?:ql)?:/|\bpassword\s*=",
    re.IGNORECASE,
)
ENV_LINE = re.compile(r"^\s*(?:export\s+)?DATABASE_URL\s*=", re.MULTILINE)
OTHER_ENV_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Z][A-Z0-9_]*)\s*=\s*['\"]?\w+://")
KEYWORD_START = re.compile(r"\s*\w+\s*=")

# What other drivers write into the same URL, in libpq's words. node-postgres is Aperture's own.
SSL_VALUES = {
    "true": "require", "1": "require", "on": "require", "yes": "require", "": "require",
    "false": "disable", "0": "disable", "off": "disable", "no": "disable",
}  # fmt: skip
SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full", NO_VERIFY)


@dataclass(frozen=True)
class ParsedConninfo:
    """Connection parameters under libpq's names, and what had to be left out."""

    params: dict[str, str]
    dropped_options: tuple[str, ...] = ()


def parse_conninfo(text: str, known_options: Iterable[str]) -> ParsedConninfo:
    """Take a URL or a `key=value` string apart.

    `known_options` are libpq's keywords; other options of a URL are dropped and named in the
    result. Raises UsageError for what can't be decided.
    """
    text = _unquote_whole(ENV_LINE.sub("", text, count=1))
    _require_one_line(text)
    if named := OTHER_ENV_LINE.match(text):
        raise _usage(
            f"it is a line of an env file, with the name {named['name']}",
            f"leave out {named['name']}=",
        )
    scheme = next((s for s in SCHEMES if text.lower().startswith(s)), None)
    if scheme:
        parsed = _parse_url(text[len(scheme) :], frozenset(known_options))
    elif KEYWORD_START.match(text):
        parsed = ParsedConninfo(_parse_keywords(text))
    elif "://" in text:
        raise _usage("its scheme is not postgresql:// or postgres://", f"write it as {URL_EXAMPLE}")
    elif text.startswith(("/", "./", "~")):
        raise _usage("it is the name of a file", "name that file with DATABASE_URL_FILE instead")
    else:
        raise _usage("it is neither a URL nor key=value pairs", f"write it as {URL_EXAMPLE}")
    if any("\0" in value for value in parsed.params.values()):
        # libpq would take what stands before it for the whole.
        raise _usage("it has an encoded NUL byte", "remove %00")
    return parsed


def _unquote_whole(text: str) -> str:
    """Drop what env files leave around a value: a byte order mark, spaces, one pair of quotes."""
    text = text.strip("\ufeff \t\r\n")
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text


def _require_one_line(text: str) -> None:
    if re.search(r"[\0\r\n]", text):
        raise _usage(
            "it contains a line break or a NUL byte", "keep the one line with the connection string"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _usage("it is not UTF-8", "percent-encode what is not ASCII") from None


def _parse_url(rest: str, known_options: frozenset[str]) -> ParsedConninfo:
    authority, path, query = _split_url(rest)
    userinfo, at, hosts = authority.rpartition("@")
    if re.search(r" |%(?![0-9a-fA-F]{2})", rest):
        userinfo = _encode_raw_percents(userinfo)
    params = _parse_hosts(hosts)
    if at:
        user, colon, password = userinfo.partition(":")
        params["user"] = _decode(user)
        if colon:
            params["password"] = _decode(password)
    params["dbname"] = _decode(path)
    options, dropped = _parse_query(query, known_options)
    merged = {name: value for name, value in (params | options).items() if value}
    return ParsedConninfo(merged, dropped)


def _encode_raw_percents(userinfo: str) -> str:
    """Encode each `%` that stands for itself.

    A URL with a raw space, or a `%` that no two hex digits follow, was not encoded by its author.
    Aperture's driver (node-postgres) then takes only `%` with two decimal digits as encoded, and
    its users' passwords work that way.
    """
    return re.sub(r"%(?![0-9]{2})", "%25", userinfo)


def _split_url(rest: str) -> tuple[str, str, str]:
    """Split into authority, path and query at the first `/` and `?`.

    A raw `/`, `?` or `#` inside the password moves these borders. It leaves a trace behind the
    border: a `#`, a second `/`, or an `@` elsewhere than in the option user or password.
    """
    end = re.search(r"[/?#]", rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    path, _, query = tail.removeprefix("/").partition("?")
    stray_at = any(
        "@" in item and item.partition("=")[0] not in ("user", "password")
        for item in query.split("&")
    )
    if "#" in tail or "/" in path or "@" in path or stray_at:
        raise _usage(
            "a raw #, / or ? in it leaves open where the password ends",
            "percent-encode them in the password: # is %23, / is %2F, ? is %3F",
        )
    return authority, path, query


def _parse_hosts(hosts: str) -> dict[str, str]:
    """Host and port, each a comma list where the URL names several servers."""
    names: list[str] = []
    ports: list[str] = []
    for item in hosts.split(","):
        match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::(\d*))?", item)
        if not match:
            raise _usage(
                "the part behind the last @ is not host:port",
                f"write it as {URL_EXAMPLE}, an IPv6 address in [brackets], "
                "and percent-encode # / ? in the password",
            )
        names.append(_decode(match[1] or match[2] or ""))
        ports.append(match[3] or "")
    given = {"host": ",".join(names).strip(",")}
    if any(ports):
        given["port"] = ",".join(port or DEFAULT_PORT for port in ports)
    return given


def _parse_query(
    query: str, known_options: frozenset[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    options: dict[str, str] = {}
    dropped: list[str] = []
    for item in filter(None, query.split("&")):
        name, _, value = item.partition("=")
        name, value = _decode(name), _decode(value)
        if name == "ssl":
            options.setdefault("sslmode", _sslmode(value))
        elif name in known_options:
            options[name] = value
        else:
            dropped.append(name)
    return options, tuple(dropped)


def _sslmode(value: str) -> str:
    """The sslmode for a value of ssl. One that is not known may ask for encryption, so it is not
    ignored."""
    mode = SSL_VALUES.get(value.lower(), value.lower())
    if mode not in SSLMODES:
        raise _usage(
            "the value of its option ssl is not known", f"use sslmode={'|'.join(SSLMODES)} instead"
        )
    return mode


def _parse_keywords(text: str) -> dict[str, str]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        pairs = conninfo_to_dict(text)
    except psycopg.Error:
        # libpq's own message may quote a part of the password.
        raise _usage(
            "its key=value pairs have an unknown keyword, or an unquoted value with spaces",
            "quote values with spaces: password='two words'",
        ) from None
    return {name: str(value) for name, value in pairs.items() if value not in (None, "")}


def _decode(text: str) -> str:
    """Percent-decode."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise _usage("a percent-encoded part is not UTF-8", "encode a literal % as %25") from None


def _usage(why: str, next_step: str) -> UsageError:
    return UsageError(
        "the connection string can't be read",
        why=why,
        next_step=next_step,
        code="bad_connection_string",
    )
