"""Records new migrations: `python -m tests.migrations.record [--again NUMBER]`.

For every file of migrations/ that is not recorded yet, adds the structure that it makes to
steps.jsonl and its hash to frozen.sha256. `--again 0115` records 0115 and what follows anew, for
a file that was edited before its release; a released one is never edited.
"""

from __future__ import annotations

import argparse
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

from aperture_db.aperture.structure import Structure
from aperture_db.postgres.embedded import server_programs
from tests.migrations.conftest import MIGRATIONS, apply_file
from tests.migrations.structure import FROZEN_FILE, STEPS_FILE, read_structure
from tests.servers.clusters import start_server
from tests.servers.shared import SharedServers

HOW_TO_RECORD = "record it with: python -m tests.migrations.record"


def unrecorded(
    migrations: Path = MIGRATIONS, steps: Path = STEPS_FILE, frozen: Path = FROZEN_FILE
) -> list[str]:
    """The files whose structure or hash is not recorded."""
    recorded = {json.loads(line)["name"] for line in steps.read_text("utf-8").splitlines()}
    hashed = {line.split()[1] for line in frozen.read_text("utf-8").splitlines()}
    return [name for name in _names(migrations) if name not in recorded & hashed]


def record(
    conninfo: str,
    migrations: Path = MIGRATIONS,
    steps: Path = STEPS_FILE,
    frozen: Path = FROZEN_FILE,
) -> list[str]:
    """Apply all files to the empty database `conninfo`, and record those that are not recorded.

    Returns their names.
    """
    new = unrecorded(migrations, steps, frozen)
    lines = steps.read_text("utf-8").splitlines()
    lines = [line for line in lines if json.loads(line)["name"] not in new]
    hashes = [line for line in frozen.read_text("utf-8").splitlines() if line.split()[1] not in new]
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for name in _names(migrations):
            before = read_structure(conn) if name in new else {}
            apply_file(conn, name, migrations)
            if name in new:
                step = {"name": name, **_changes(before, read_structure(conn))}
                lines.append(json.dumps(step))
                digest = sha256((migrations / name).read_bytes()).hexdigest()
                hashes.append(f"{digest}  {name}")
    steps.write_text("\n".join(lines) + "\n", "utf-8")
    frozen.write_text("\n".join(hashes) + "\n", "utf-8")
    return new


def _names(migrations: Path) -> list[str]:
    return sorted(path.name for path in migrations.glob("*.sql"))


def _changes(before: Structure, after: Structure) -> dict[str, Any]:
    """The objects that a step removes, changes and adds, by their kind."""
    changes: dict[str, dict[str, Any]] = {"remove": {}, "change": {}, "add": {}}
    for kind, objects in after.items():
        old = before[kind]
        if removed := sorted(old.keys() - objects.keys()):
            changes["remove"][kind] = removed
        for name in sorted(objects):
            if name not in old:
                changes["add"].setdefault(kind, {})[name] = objects[name]
            elif old[name] != objects[name]:
                changes["change"].setdefault(kind, {})[name] = objects[name]
    return {part: kinds for part, kinds in changes.items() if kinds}


def _forget(first: str) -> None:
    """Drop the hashes of the files from the number `first` on, so that they count as new."""
    lines = FROZEN_FILE.read_text("utf-8").splitlines()
    kept = [line for line in lines if line.split()[1][:4] < first]
    FROZEN_FILE.write_text("\n".join(kept) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.migrations.record", description=__doc__)
    parser.add_argument("--again", metavar="NUMBER", help="record this file and later ones anew")
    again: str | None = parser.parse_args().again
    if again:
        _forget(again.zfill(4))
    if not unrecorded():
        print("every migration is recorded")  # noqa: T201
        return
    servers = SharedServers.create()
    try:
        main_server = servers.get("main", lambda home: start_server(server_programs(), home, {}))
        for name in record(main_server["conninfo"]):
            print(f"recorded {name}")  # noqa: T201
    finally:
        servers.stop_all()


if __name__ == "__main__":
    main()
