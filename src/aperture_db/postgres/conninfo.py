"""Reads connection strings in every form that Aperture's users have.

libpq is stricter than the driver Aperture uses: it takes a raw `@` in a password for the start of
the host and refuses a raw `%`, a space and unknown options. So URLs are taken apart here, and
libpq gets single keywords. No message of this module repeats any part of a URL but its options'
names: where the parts are unclear, any of them may be the password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from aperture_db.errors import UsageError
from aperture_db.postgres.target import DEFAULT_PORT

URL_EXAMPLE = "postgresql://user:password@host:5432/database"
SCHEMES = ("postgresql://", "postgres://")
KEYWORD_START = re.compile(r"\s*\w+\s*=")

# What other drivers write into the same URL, in libpq's words. node-postgres is Aperture's own.
SSL_VALUES = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
SSLMODE_VALUES = {"no-verify": "require"}


@dataclass(frozen=True)
class ParsedConninfo:
    """Connection parameters under libpq's names, and what had to be left out."""

    params: dict[str, str]
    dropped_options: tuple[str, ...] = ()


def parse(text: str, known_options: Iterable[str]) -> ParsedConninfo:
    """Take a URL or a `key=value` string apart.

    `known_options` are libpq's keywords; other options of a URL are dropped and named in the
    result. Raises UsageError for what can't be decided.
    """
    text = _unquote_whole(text)
    _require_one_line(text)
    scheme = next((s for s in SCHEMES if text.lower().startswith(s)), None)
    if scheme:
        parsed = _parse_url(text[len(scheme) :], frozenset(known_options))
    elif KEYWORD_START.match(text):
        parsed = ParsedConninfo(_parse_keywords(text))
    elif "://" in text:
        raise _usage("its scheme is not postgresql:// or postgres://", f"write it as {URL_EXAMPLE}")
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
        raise _usage("it contains a line break or a NUL byte", "remove the line break")
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
        if name == "ssl" and value in SSL_VALUES:
            options.setdefault("sslmode", SSL_VALUES[value])
        elif name == "sslmode":
            options[name] = SSLMODE_VALUES.get(value, value)
        elif name in known_options:
            options[name] = value
        else:
            dropped.append(name)
    return options, tuple(dropped)


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
