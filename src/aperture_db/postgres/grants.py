"""What an administrator runs to give a role the privilege that the server found missing."""

from __future__ import annotations

import re

OWNER_PATTERN = re.compile(r"must be owner of (?P<kind>[a-z ]+?) (?P<name>\S+)$")
OWNED_KINDS = {
    "table": "TABLE",
    "relation": "TABLE",
    "sequence": "SEQUENCE",
    "view": "VIEW",
    "materialized view": "MATERIALIZED VIEW",
    "function": "FUNCTION",
    "schema": "SCHEMA",
    "database": "DATABASE",
    "type": "TYPE",
}

DENIED_PATTERN = re.compile(r"permission denied for (?P<kind>[a-z ]+?) (?P<name>\S+)$")
READ_GRANTS = {
    "table": "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user};",
    "view": "GRANT pg_monitor TO {user};",
    "sequence": "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {user};",
    "schema": "GRANT USAGE ON SCHEMA {name} TO {user};",
    "function": "GRANT EXECUTE ON FUNCTION {name} TO {user};",
}
WRITE_GRANTS = READ_GRANTS | {
    "table": "GRANT ALL ON ALL TABLES IN SCHEMA public TO {user};",
    "sequence": "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {user};",
    "schema": "GRANT USAGE, CREATE ON SCHEMA {name} TO {user};",
    "database": "GRANT CREATE ON DATABASE {name} TO {user};",
}
OTHERWISE = "connect as the owner of Aperture's tables or as a superuser"


def grant_for(message: str, user: str, *, writes: bool = False) -> str:
    """The statement that the server's message about a missing privilege asks for.

    `message` is in English; any other gets the general advice. `writes` tells whether the
    refused work changes data.
    """
    role = quote_identifier(user)
    owner = OWNER_PATTERN.search(message)
    if owner and owner["kind"] in OWNED_KINDS:
        kind = OWNED_KINDS[owner["kind"]]
        return f"as a superuser run: ALTER {kind} {owner['name']} OWNER TO {role};"
    denied = DENIED_PATTERN.search(message)
    templates = WRITE_GRANTS if writes else READ_GRANTS
    if denied and denied["kind"] in templates:
        grant = templates[denied["kind"]].format(name=denied["name"], user=role)
        return f"as the owner or a superuser run: {grant}"
    return OTHERWISE


def quote_identifier(name: str) -> str:
    """`name` as SQL writes any identifier; for texts, not for statements that are run."""
    return '"' + name.replace('"', '""') + '"'
