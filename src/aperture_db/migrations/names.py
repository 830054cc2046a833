"""Looks up the names that pending files create, before the first of them is applied.

PostgreSQL would refuse somebody else's table, type or function of such a name only when its file
comes, with the files before it applied; or, with IF NOT EXISTS, not at all.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.aperture.tables import MIGRATIONS_TABLE
from aperture_db.migrations.directory import MigrationFile
from aperture_db.postgres.session import Connection
from aperture_db.postgres.sql_scanner import SqlStatement, Token, TokenKind, split_statements

ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
LONGEST_NAME_BYTES = 63
MODIFIERS = {"OR", "REPLACE", "UNIQUE", "UNLOGGED", "FOREIGN", "MATERIALIZED", "RECURSIVE"}
ROUTINES = ("FUNCTION", "PROCEDURE", "AGGREGATE")
CREATED_KINDS = {"TABLE", "VIEW", "SEQUENCE", "INDEX", "TYPE", "DOMAIN", "TRIGGER", *ROUTINES}
CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "EXCLUDE", "LIKE")
SERIALS = {"SERIAL", "BIGSERIAL", "SMALLSERIAL", "SERIAL4", "SERIAL8", "SERIAL2", "IDENTITY"}
ARGUMENT_MODES = {"IN", "OUT", "INOUT", "VARIADIC"}
TYPE_ALIASES = {
    "int": "integer", "int4": "integer", "int8": "bigint", "int2": "smallint", "bool": "boolean",
    "varchar": "character varying", "char": "character", "float8": "double precision",
    "float": "double precision", "float4": "real", "decimal": "numeric",
    "timestamptz": "timestamp with time zone", "timestamp": "timestamp without time zone",
}  # fmt: skip
# As `create_table` makes it where the first file does not.
RECORD = MigrationFile(
    MIGRATIONS_TABLE,
    f"CREATE TABLE {MIGRATIONS_TABLE} (id serial PRIMARY KEY, name text UNIQUE)".encode(),
)


class Creation(NamedTuple):
    """A name that a statement creates."""

    kind: str
    """One of CREATED_KINDS."""
    schema: str
    """Empty where the search_path decides."""
    name: str
    is_guarded: bool = False
    """IF NOT EXISTS, OR REPLACE, or inside a DO block: what is there may be no error."""
    table: str = ""
    """Of an index or trigger, and of what comes with a table's columns and constraints; the
    former name where something is renamed."""
    parts: tuple[str, ...] = ()
    """The columns of a table; the arguments of a routine, as they are written."""
    is_implied: bool = False
    """An index or sequence of a table: PostgreSQL would take another name if need be."""


@dataclass(frozen=True)
class TakenName:
    """Something in the database that has a name."""

    namespace: str
    """relation, type, routine or trigger: names clash within each, and TABLE with type, too."""
    schema: str
    name: str
    kind: str
    """As PostgreSQL's documentation calls it."""
    table: str
    """Of an index or trigger."""
    parts: tuple[str, ...]
    """The columns of a relation; the types of a routine's input arguments."""
    source: str
    """The body of a routine."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others: triggers have their names on a table."""
        return self.namespace, self.name, self.table if self.namespace == "trigger" else ""

    def __str__(self) -> str:
        return self.name if self.kind == "table" else f"the {self.kind} {self.name}"


@dataclass(frozen=True)
class Clash:
    """A name that a file would create, and what has it."""

    file: str
    made: Creation
    taken: TakenName
    is_same: bool
    """What has the name looks like what the file would make."""


def find_clashes(
    conn: Connection,
    applied: Iterable[MigrationFile],
    pending: Sequence[MigrationFile],
    *,
    is_recorded: bool,
    is_tracked: bool,
) -> list[Clash]:
    """What is in the way of the pending files, and does not come from the applied ones.

    Without a recorded file nothing in the database is Aperture's, but the record if it
    `is_tracked`. Else a guarded statement may find what it would make, as where the schema is
    newer than its records. Needs no privilege.
    """
    taken = conn.ask(sql.compose("migrations/taken_names"), class_row(TakenName)).fetchall()
    if is_tracked:
        taken = [each for each in taken if not each.name.startswith(MIGRATIONS_TABLE)]
    else:
        pending = (RECORD, *pending)
    text = "\n".join(file.text for file in pending).lower()
    # Most often nothing is left here, and no file has to be taken apart.
    taken = [each for each in taken if _may_be_created(each.name, text)]
    clashes: list[Clash] = []
    touched: set[str] = set()
    for file in pending if taken else ():
        for statement in file.statements:
            for made in find_creations(statement, file.text):
                if made.name not in touched:
                    clashes += [
                        Clash(file.name, made, each, is_same)
                        for each in taken
                        if _clashes(made, each, conn.schema)
                        for is_same in [_looks_like(made, each, taken, file)]
                        if not (is_recorded and made.is_guarded and is_same)
                    ]
            touched |= _touched(statement, file.text)
    # Only now, as most databases need none of the applied files read.
    before = [made for file in applied for made in _creations_of(file)] if clashes else []
    ours = {_key(made) for made in before}
    columns = {made.name: set(made.parts) for made in before if made.kind == "TABLE"}
    clashing = {clash.taken.name for clash in clashes}
    return [
        clash
        for clash in dict.fromkeys(clashes)
        if clash.taken.key not in ours
        and clash.taken.table not in clashing
        and not (
            clash.made.is_guarded
            and clash.made.table in columns
            and columns[clash.made.table] <= set(clash.taken.parts)
        )
    ]


def _may_be_created(name: str, text: str) -> bool:
    """Whether files of this text may create it: implied names are made of others."""
    return name.lower() in text or name.endswith(("_pkey", "_key", "_seq"))


def _clashes(made: Creation, taken: TakenName, schema: str) -> bool:
    if made.name != taken.name or (made.schema or schema) != taken.schema:
        return False
    if made.kind in ROUTINES:
        return taken.namespace == "routine" and _same_arguments(made.parts, taken.parts)
    if made.kind == "TRIGGER":
        return taken.namespace == "trigger" and made.table == taken.table
    if taken.namespace == "type":
        return made.kind not in ("INDEX", "SEQUENCE")
    is_type = made.kind in ("TYPE", "DOMAIN")
    return taken.namespace == "relation" and not (is_type and taken.kind in ("index", "sequence"))


def _looks_like(
    made: Creation, taken: TakenName, existing: list[TakenName], file: MigrationFile
) -> bool:
    """Whether what has the name is what the statement would make, as far as that can be told."""
    if made.is_implied:
        return any(each.namespace == "relation" and each.name == made.table for each in existing)
    match made.kind:
        case "TABLE":
            is_table = taken.kind in ("table", "partitioned table")
            return is_table and bool(made.parts) and set(made.parts) <= set(taken.parts)
        case "INDEX":
            return taken.kind == "index" and made.table == taken.table
        case "FUNCTION" | "PROCEDURE":
            return taken.kind == made.kind.lower() and taken.source.strip() in file.text
    return taken.kind.endswith(made.kind.lower())


def _creations_of(file: MigrationFile) -> Iterator[Creation]:
    for statement in file.statements:
        yield from find_creations(statement, file.text)


def _key(made: Creation) -> tuple[str, str, str]:
    """`TakenName.key` of what was created."""
    if made.kind == "TRIGGER":
        return "trigger", made.name, made.table
    namespace = "type" if made.kind in ("TYPE", "DOMAIN") else "relation"
    return "routine" if made.kind in ROUTINES else namespace, made.name, ""


def _touched(statement: SqlStatement, text: str) -> set[str]:
    """The names in a DROP or RENAME: what is there may then be gone or be another thing."""
    words = set(statement.words)
    bodies = [text[token.start : token.end] for token in _bodies(statement, text)]
    for body in bodies:
        words |= {word for inner in split_statements(_without_quotes(body)) for word in inner.words}
    if not words & {"DROP", "RENAME"}:
        return set()
    return words | {word.translate(ASCII_LOWER) for word in words}


def find_creations(statement: SqlStatement, text: str) -> Iterator[Creation]:
    """The names that a statement of `text` creates, also those that it renames something to, and
    those of the indexes and sequences that columns and constraints bring with them."""
    for body in _bodies(statement, text):
        inner = _without_quotes(text[body.start : body.end])
        for each in split_statements(inner):
            starts = [n for n, t in enumerate(each.tokens) if t.text in ("CREATE", "ALTER")]
            for start in starts[:1]:
                for found in find_creations(SqlStatement(each.tokens[start:]), inner):
                    yield found._replace(is_guarded=True)
    words = [_marked(token) for token in statement.tokens]
    if words[0] == "CREATE":
        yield from _created(words)
    elif words[0] == "ALTER" and words[-3:-1] == ["RENAME", "TO"]:
        kind = words[1] if words[1] in ("TYPE", "DOMAIN") else "TABLE"
        schema, former, _ = _qualified(_without(words[2:], "VIEW", "IF", "EXISTS", "ONLY"))
        yield Creation(kind, schema, _name(words[-1]), table=former)
    elif words[:2] == ["ALTER", "TABLE"]:
        schema, table, rest = _qualified(_without(words[2:], "IF", "EXISTS", "ONLY"))
        for action in _split(rest):
            if action[:1] == ["ADD"]:
                added = _without(action[1:], "COLUMN", "IF", "NOT", "EXISTS")
                guarded = "EXISTS" in action[: len(action) - len(added)]
                yield from _implied(schema, table, added, is_guarded=guarded)


def _created(words: list[str]) -> Iterator[Creation]:
    """The names of a CREATE statement."""
    position = next((n for n, word in enumerate(words) if n and word not in MODIFIERS), 0)
    kind, rest = words[position], words[position + 1 :]
    named = _without(rest, "CONCURRENTLY", "IF", "NOT", "EXISTS")
    if kind not in CREATED_KINDS or not named or named[0] == "ON":
        return
    guarded = "REPLACE" in words[:position] or "EXISTS" in rest[: len(rest) - len(named)]
    schema, name, rest = _qualified(named)
    table = ""
    if kind in ("INDEX", "TRIGGER") and "ON" in rest:
        on_schema, table, _ = _qualified(_without(rest[rest.index("ON") + 1 :], "ONLY"))
        # An index is in the schema of its table, and a trigger has none.
        schema = on_schema
    items = [item for item in _split(_inside(rest)) if item]
    parts: tuple[str, ...] = ()
    if kind in ROUTINES:
        parts = tuple(_argument(item) for item in items if item[0] != "OUT")
    elif kind == "TABLE":
        parts = tuple(_name(item[0]) for item in items if item[0] not in CONSTRAINTS)
    yield Creation(kind, schema, name, guarded, table, parts)
    if kind == "TABLE":
        for item in items:
            yield from _implied(schema, name, item, is_guarded=guarded)


def _implied(schema: str, table: str, item: list[str], *, is_guarded: bool) -> Iterator[Creation]:
    """The index or sequence that a column or a constraint brings with it."""
    constraint = next((word for word in ("PRIMARY", "UNIQUE") if word in item), None)
    named = item[item.index("CONSTRAINT") + 1] if "CONSTRAINT" in item[:-1] else None
    column = "" if not item or item[0] in CONSTRAINTS else _name(item[0])

    def brought(kind: str, name: str, *, is_implied: bool = True) -> Creation:
        return Creation(kind, schema, name, is_guarded, table, (), is_implied)

    if column and SERIALS & set(item):
        yield brought("SEQUENCE", _made_of(table, column, "seq"))
    if named and (constraint or "EXCLUDE" in item):
        yield brought("INDEX", _name(named), is_implied=False)
    elif constraint == "PRIMARY":
        yield brought("INDEX", _made_of(table, "", "pkey"))
    elif constraint == "UNIQUE":
        columns = [column] if column else [_name(each[0]) for each in _split(_inside(item)) if each]
        yield brought("INDEX", _made_of(table, "_".join(columns), "key"))


def _made_of(table: str, columns: str, end: str) -> str:
    """The name that PostgreSQL makes up, by makeObjectName of its indexcmds.c."""
    room = LONGEST_NAME_BYTES - len(end) - 1 - bool(columns)
    while len(table) + len(columns) > room:
        if len(table) > len(columns):
            table = table[:-1]
        else:
            columns = columns[:-1]
    return "_".join(filter(None, [table, columns, end]))


def _bodies(statement: SqlStatement, text: str) -> list[Token]:
    """The code of a DO block."""
    if not statement.starts_with("DO"):
        return []
    return [t for t in statement.tokens if t.kind is TokenKind.LITERAL and text[t.start] == "$"]


def _without_quotes(body: str) -> str:
    """The inside of $tag$ … $tag$."""
    tag = body[: body.index("$", 1) + 1]
    return body[len(tag) : -len(tag)]


def _marked(token: Token) -> str:
    """A keyword or bare name in upper case; a quoted name behind a quote, which no keyword has."""
    return f'"{token.text}' if token.kind is TokenKind.NAME else token.text


def _name(word: str) -> str:
    return _cut(word[1:] if word.startswith('"') else word.translate(ASCII_LOWER))


def _cut(name: str) -> str:
    return name.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore")


def _without(words: Sequence[str], *leading: str) -> list[str]:
    """`words` behind those at their start that may be left out."""
    position = next((n for n, word in enumerate(words) if word not in leading), len(words))
    return list(words[position:])


def _qualified(words: list[str]) -> tuple[str, str, list[str]]:
    """The schema, or nothing, and the name at the start, and the rest."""
    if words[1:2] == ["."] and len(words) > 2:
        return _name(words[0]), _name(words[2]), words[3:]
    return "", _name(words[0]) if words else "", words[1:]


def _inside(words: Sequence[str]) -> list[str]:
    """What is between the first parenthesis and the one that closes it."""
    depth, inside = 0, []
    for word in words:
        depth -= word == ")"
        if depth:
            inside.append(word)
        elif word == ")":
            break
        depth += word == "("
    return inside


def _split(words: Iterable[str]) -> Iterator[list[str]]:
    """The parts between commas outside of parentheses."""
    depth, part = 0, list[str]()
    for word in words:
        depth += (word in "([") - (word in ")]")
        if word == "," and not depth:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _argument(words: list[str]) -> str:
    """The declaration of a routine's argument, without mode and default."""
    end = next((n for n, word in enumerate(words) if word in ("DEFAULT", "=")), len(words))
    kept = [word for word in words[:end] if word not in ARGUMENT_MODES]
    return " ".join(map(_name, kept))


def _same_arguments(written: Sequence[str], types: Sequence[str]) -> bool:
    """Whether these declarations, with names of the arguments or without, have these types."""
    return len(written) == len(types) and all(
        type_ in (_type(each), _type(each.partition(" ")[2]))
        for each, type_ in zip(written, types, strict=True)
    )


@cache
def _type(text: str) -> str:
    """A type as the server writes it, as far as that can be told without it."""
    name = re.sub(r" ?\( [^)]*\)", "", text).rpartition(" . ")[2]
    base, array, _ = name.partition(" [")
    return TYPE_ALIASES.get(base, base) + ("[]" if array else "")
