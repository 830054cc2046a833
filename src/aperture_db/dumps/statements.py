"""The statements that pg_dump writes, for each kind of entry: a restore runs no others.

The SQL of a file runs with the privileges of the login, so a statement that no entry of its kind
has is refused with its line, before anything is changed. Sources: src/bin/pg_dump/pg_dump.c and
pg_backup_archiver.c of PostgreSQL 9.6 to 18.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import pairwise

from aperture_db.dumps.script import DumpEntry
from aperture_db.postgres.sql_scanner import SqlScanner, Token, TokenKind

_ALTER_TABLE = ("ALTER TABLE",)
_TEXT_SEARCH = ("CREATE TEXT SEARCH", "ALTER TEXT SEARCH")
# The first words of the statements of an entry, beside a change of its owner.
HEADS: dict[str, tuple[str, ...]] = {
    "ACL": (),
    "ACCESS METHOD": ("CREATE ACCESS METHOD",),
    "AGGREGATE": ("CREATE AGGREGATE",),
    "BLOB": ("SELECT PG_CATALOG", "ALTER LARGE OBJECT"),
    "BLOB METADATA": ("SELECT PG_CATALOG", "ALTER LARGE OBJECT"),
    # In a transaction of their own; a restore leaves large objects out.
    "BLOBS": ("SELECT PG_CATALOG", "BEGIN", "COMMIT"),
    "CAST": ("CREATE CAST",),
    "CHECK CONSTRAINT": ("ALTER TABLE", "ALTER DOMAIN"),
    "COLLATION": ("CREATE COLLATION", "ALTER COLLATION"),
    "COMMENT": ("COMMENT ON",),
    "CONSTRAINT": _ALTER_TABLE,
    "CONVERSION": ("CREATE CONVERSION", "CREATE DEFAULT CONVERSION"),
    "DATABASE": ("CREATE DATABASE", "ALTER DATABASE"),
    "DATABASE PROPERTIES": ("ALTER DATABASE", "ALTER ROLE"),
    "DEFAULT": ("ALTER TABLE", "ALTER VIEW", "ALTER FOREIGN TABLE"),
    "DEFAULT ACL": ("ALTER DEFAULT PRIVILEGES",),
    "DOMAIN": ("CREATE DOMAIN", "ALTER DOMAIN"),
    "EVENT TRIGGER": ("CREATE EVENT TRIGGER", "ALTER EVENT TRIGGER"),
    "EXTENSION": ("CREATE EXTENSION",),
    "FK CONSTRAINT": _ALTER_TABLE,
    "FOREIGN DATA WRAPPER": ("CREATE FOREIGN DATA WRAPPER",),
    "FOREIGN TABLE": ("CREATE FOREIGN TABLE", "ALTER FOREIGN TABLE", "ALTER TABLE"),
    "FUNCTION": ("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", "ALTER FUNCTION"),
    "INDEX": ("CREATE INDEX", "CREATE UNIQUE INDEX", "ALTER INDEX", "ALTER TABLE"),
    "INDEX ATTACH": ("ALTER INDEX",),
    "LARGE OBJECT": ("ALTER LARGE OBJECT",),
    "MATERIALIZED VIEW": (
        "CREATE MATERIALIZED VIEW", "ALTER MATERIALIZED VIEW", "ALTER TABLE",
    ),
    "MATERIALIZED VIEW DATA": ("REFRESH MATERIALIZED VIEW",),
    "OPERATOR": ("CREATE OPERATOR", "ALTER OPERATOR"),
    "OPERATOR CLASS": ("CREATE OPERATOR CLASS",),
    "OPERATOR FAMILY": ("CREATE OPERATOR FAMILY", "ALTER OPERATOR FAMILY"),
    "POLICY": ("CREATE POLICY",),
    "PROCEDURAL LANGUAGE": (
        "CREATE LANGUAGE", "CREATE TRUSTED", "CREATE PROCEDURAL", "CREATE OR REPLACE",
    ),
    "PROCEDURE": ("CREATE PROCEDURE", "CREATE OR REPLACE PROCEDURE", "ALTER PROCEDURE"),
    "PUBLICATION": ("CREATE PUBLICATION", "ALTER PUBLICATION"),
    "PUBLICATION TABLE": ("ALTER PUBLICATION",),
    "PUBLICATION TABLES IN SCHEMA": ("ALTER PUBLICATION",),
    "ROW SECURITY": _ALTER_TABLE,
    "RULE": ("CREATE RULE", "CREATE OR REPLACE VIEW", "ALTER TABLE", "ALTER VIEW"),
    "SCHEMA": ("CREATE SCHEMA",),
    "SECURITY LABEL": ("SECURITY LABEL",),
    "SEQUENCE": ("CREATE SEQUENCE", "CREATE UNLOGGED SEQUENCE", "ALTER SEQUENCE", "ALTER TABLE"),
    "SEQUENCE OWNED BY": ("ALTER SEQUENCE",),
    "SEQUENCE SET": ("SELECT PG_CATALOG SETVAL",),
    "SERVER": ("CREATE SERVER",),
    "SHELL TYPE": ("CREATE TYPE",),
    "STATISTICS": ("CREATE STATISTICS", "ALTER STATISTICS"),
    "STATISTICS DATA": ("SELECT FROM PG_CATALOG", "SELECT PG_CATALOG"),
    "SUBSCRIPTION": ("CREATE SUBSCRIPTION", "ALTER SUBSCRIPTION"),
    "SUBSCRIPTION TABLE": ("SELECT PG_CATALOG",),
    "TABLE": ("CREATE TABLE", "CREATE UNLOGGED TABLE", "ALTER TABLE"),
    "TABLE ATTACH": _ALTER_TABLE,
    "TABLE DATA": ("COPY", "INSERT INTO", "ALTER TABLE"),
    "TEXT SEARCH CONFIGURATION": _TEXT_SEARCH,
    "TEXT SEARCH DICTIONARY": _TEXT_SEARCH,
    "TEXT SEARCH PARSER": _TEXT_SEARCH,
    "TEXT SEARCH TEMPLATE": _TEXT_SEARCH,
    "TRANSFORM": ("CREATE TRANSFORM",),
    "TRIGGER": ("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER", "ALTER TABLE", "ALTER TRIGGER"),
    "TYPE": ("CREATE TYPE", "ALTER TYPE"),
    "USER MAPPING": ("CREATE USER MAPPING",),
    "VIEW": ("CREATE VIEW", "CREATE OR REPLACE VIEW", "ALTER VIEW", "ALTER TABLE"),
}  # fmt: skip
# The rows of a script may be millions of these: the schema is known without reading the tokens.
PLAIN_INSERT = re.compile(rb"\s*INSERT INTO (?!pg_|information_schema)[a-z]\w*\.\w+ ")
# Before the first entry stand the statements of --clean; a restore drops the objects itself.
PREAMBLE_HEADS = (
    "ALTER TABLE", "ALTER DOMAIN", "ALTER INDEX", "ALTER PUBLICATION", "ALTER DATABASE",
    "UPDATE PG_CATALOG PG_DATABASE", "CREATE OR REPLACE VIEW", "SELECT PG_CATALOG LO_UNLINK",
)  # fmt: skip
LARGE_OBJECT_KINDS = {"BLOB", "BLOBS", "BLOB METADATA"}
# Left out of every restore, under any entry: it drops objects and sets privileges itself.
LEFT_OUT_HEADS = {b"DROP", b"GRANT", b"REVOKE"}
SERVER_WIDE = {"ROLE", "USER", "GROUP", "TABLESPACE", "DATABASE", "SYSTEM"}
OWNER_CHANGE = re.compile(rb"ALTER [^;]* OWNER TO [^;]*;\s*", re.IGNORECASE)

# Settings by which a script begins, and more of them between its entries. Those of the second group
# are left out: the restore makes them itself, or newer servers do not have them.
KEPT_SETTINGS = {
    b"check_function_bodies", b"client_encoding", b"client_min_messages", b"default_tablespace",
    b"default_table_access_method", b"row_security", b"xmloption",
}  # fmt: skip
SKIPPED_SETTINGS = {
    b"statement_timeout", b"lock_timeout", b"idle_in_transaction_session_timeout",
    b"transaction_timeout", b"standard_conforming_strings", b"escape_string_warning",
    b"default_with_oids",
}  # fmt: skip
# The value runs to the end of the one statement: no setting can bring a second one.
SETTING = re.compile(
    rb"SET (?P<name>\w+) (?:=|TO) (?P<value>'[^'\\]*'|\"[^\"]*\"|\w+);\Z", re.IGNORECASE
)
ROLE_SETTING = re.compile(
    rb"SET (?:ROLE|SESSION AUTHORIZATION) (?:'[^'\\]*'|\"[^\"]*\"|\w+);\Z", re.IGNORECASE
)
SESSION_SETTING = re.compile(
    rb"(SELECT pg_catalog\.set_config\('search_path', '[^'\\]*', )false\);\Z", re.IGNORECASE
)
# Encodings in which a part of a character can be a backslash. Servers have none of them either.
CLIENT_ONLY_ENCODINGS = {
    b"BIG5", b"GB18030", b"GBK", b"JOHAB", b"SHIFTJIS2004", b"SHIFTJIS", b"SJIS", b"MSKANJI",
    b"UHC", b"WIN932", b"WINDOWS932", b"WIN936", b"WINDOWS936", b"WIN949", b"WINDOWS949",
    b"WIN950", b"WINDOWS950",
}  # fmt: skip


def unexpected(entry: DumpEntry, text: bytes, head: tuple[bytes, ...]) -> str | None:
    """The reason why pg_dump cannot have written this statement under this entry, else None."""
    kind = entry.kind
    if kind == "TABLE DATA" and PLAIN_INSERT.match(text):
        return None
    text = text.strip()
    if head[0] in (b"SET", b"RESET"):
        return _unexpected_setting(text)
    if head[0] in LEFT_OUT_HEADS:
        is_server_wide = head[0] == b"DROP" and _is_server_wide(head)
        # --create drops a database before the first entry.
        if is_server_wide and (kind or head[1] != b"DATABASE"):
            return "a statement that pg_dump never writes"
        return None
    if SESSION_SETTING.fullmatch(text):
        return None
    tokens = _first_tokens(text)
    words = " ".join(token.text for token in tokens if token.kind is TokenKind.WORD)
    heads = HEADS.get(kind, ()) if kind else PREAMBLE_HEADS
    if not any(words == each or words.startswith(f"{each} ") for each in heads):
        if is_owner_change(text) and not _is_server_wide(head):
            return None
        return f"a statement that pg_dump never writes under {kind or 'no entry'}"
    return _unexpected_target(entry, text, tokens)


def is_owner_change(text: bytes) -> bool:
    """Tell a change of an owner from other statements, in linear time."""
    text = text.strip()
    # With another semicolon the pattern would be tried from every OWNER TO.
    return text.find(b";") == len(text) - 1 and OWNER_CHANGE.fullmatch(text) is not None


def _is_server_wide(head: tuple[bytes, ...]) -> bool:
    # A user mapping belongs to the database.
    is_mapping = head[1:3] == (b"USER", b"MAPPING")
    return len(head) > 1 and head[1].decode("latin-1") in SERVER_WIDE and not is_mapping


def _unexpected_setting(text: bytes) -> str | None:
    if ROLE_SETTING.fullmatch(text):
        return None
    match = SETTING.fullmatch(text)
    name = match["name"].lower() if match else b""
    if match is None or name not in KEPT_SETTINGS | SKIPPED_SETTINGS:
        return "a setting that pg_dump never makes"
    if name == b"standard_conforming_strings" and match["value"].strip(b"'").lower() != b"on":
        return "a setting that changes where strings end"
    if name == b"client_encoding" and _is_client_only(match["value"]):
        return "an encoding that no server uses (pg_dump --encoding=UTF8 avoids it)"
    return None


def _is_client_only(encoding: bytes) -> bool:
    return _plain_name(encoding) in CLIENT_ONLY_ENCODINGS


def is_unchecked(encoding: bytes) -> bool:
    """Tell whether COPY takes any bytes in this encoding, even those that are no text in the
    database's own."""
    return _plain_name(encoding) == b"SQLASCII"


def _plain_name(encoding: bytes) -> bytes:
    """As PostgreSQL compares names of encodings: any case, without punctuation."""
    return re.sub(rb"[^A-Z0-9]", b"", encoding.upper())


def _unexpected_target(entry: DumpEntry, text: bytes, tokens: list[Token]) -> str | None:
    """A statement names its object with the schema, and never one of PostgreSQL's own."""
    words = [token.text for token in tokens if token.kind is TokenKind.WORD]
    if words[0] in ("SELECT", "UPDATE"):
        # pg_dump calls functions of PostgreSQL with constants only.
        calls = sum(token.text == "(" for token in tokens if token.kind is TokenKind.SYMBOL)
        is_too_much = entry.kind == "SEQUENCE SET" and (calls > 1 or len(tokens) == _FIRST_TOKENS)
        return "a call that pg_dump never writes" if is_too_much else None
    schema = _target_schema(tokens)
    if schema is not None and (schema.startswith("pg_") or schema == "information_schema"):
        return f"a change of PostgreSQL's own schema {schema}"
    if words[0] == "COMMENT" and entry.schema and words[2:3] and words[2] in SERVER_WIDE:
        return f"a comment on a {words[2].lower()}"
    if words[0] in ("COPY", "INSERT") and schema is None:
        return "rows for a table without its schema"
    if words[0] == "COPY" and not _reads_stdin(text):
        return "COPY from or to a file or program"
    return None


_FIRST_TOKENS = 24


def _first_tokens(text: bytes) -> list[Token]:
    found = []
    for token in SqlScanner().tokens(text.decode("latin-1")):
        found.append(token)
        if len(found) == _FIRST_TOKENS:
            break
    return found


def _target_schema(tokens: list[Token]) -> str | None:
    """The schema of the first name that has one, None when there is none."""
    names = (TokenKind.WORD, TokenKind.NAME)
    for token, dot in pairwise(tokens):
        if token.kind is TokenKind.SYMBOL and token.text == "(":
            return None
        if token.kind in names and dot.kind is TokenKind.SYMBOL and dot.text == ".":
            return token.text.lower() if token.kind is TokenKind.WORD else token.text
    return None


def _reads_stdin(text: bytes) -> bool:
    """COPY name [(columns)] FROM stdin; and nothing else: no text in it can end elsewhere."""
    last: deque[str] = deque(maxlen=2)
    for token in SqlScanner().tokens(text.decode("latin-1")):
        if token.kind is TokenKind.LITERAL:
            return False
        if token.kind is not TokenKind.END:
            last.append(token.text)
    return list(last) == ["FROM", "STDIN"]


def read_setting(match: re.Match[bytes]) -> tuple[str, str]:
    """The name and the value of what SETTING has matched, without quotation marks."""
    value = match["value"].decode(errors="surrogateescape")
    return match["name"].decode().lower(), value.strip("'\"")


def makes_native_function(entry: DumpEntry, text: bytes, head: tuple[bytes, ...]) -> bool:
    """Tell whether the statement makes a function that is written in C, or an alias of one inside
    the server: it could do anything there, so it is never made from a dump."""
    if entry.kind not in ("FUNCTION", "PROCEDURE") or head[0] != b"CREATE":
        return False
    for word, language in pairwise(SqlScanner().tokens(text.decode("latin-1"))):
        if word.kind is TokenKind.WORD and word.text == "LANGUAGE":
            return language.text.lower() in ("c", "internal")
    return False


def without_values(statement: str) -> str:
    """A statement of a dump, to be shown: string constants are left out, and rows of COPY that
    stand where a statement should."""
    if re.match(r"\s*SET\b", statement):
        return statement
    shown = re.sub(r"'(?:[^']|'')*(?:'|$)", "'…'", statement.partition("\t")[0])
    return re.sub(r"(\$\w*\$).*?(?:\1|$)", "$$…$$", shown, flags=re.DOTALL)
