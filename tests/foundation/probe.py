"""The program with one more command, `probe`, which runs the statements it is given: the
foundation under every command, without what a real command does.

Run as `python -m tests.foundation.probe probe …`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from aperture_db.cli.app import COMMANDS, CommandEntry
from aperture_db.cli.command import command
from aperture_db.cli.run import Run


@dataclass(frozen=True)
class ProbeReport:
    values: list[object]


app = typer.Typer(add_completion=False)


@command(app, "probe")
def probe(
    run: Run,
    sql: Annotated[list[str], typer.Option(help="A statement; its first value is shown.")] = [],  # noqa: B006
    write: Annotated[bool, typer.Option("--write", help="Not in a read-only transaction.")] = False,
    crash: Annotated[str, typer.Option(help="Raise an unexpected error with this text.")] = "",
) -> None:
    """Run statements in one transaction."""
    run.interrupted_note = "the probe was rolled back"
    values: list[object] = []
    with run.connect(read_only=not write) as conn, conn.transaction():
        conn.execute("SET LOCAL search_path = public")
        for statement in sql or ["SELECT 1"]:
            run.say(f"running: {statement}")
            cursor = conn.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            values.append(row[0] if row else cursor.statusmessage)
        if crash:
            raise RuntimeError(crash)
    run.show(ProbeReport(values), lambda report: "\n".join(map(str, report.values)))


if __name__ == "__main__":
    from aperture_db.cli import main

    COMMANDS["probe"] = CommandEntry("tests.foundation.probe", "Inspect", "Run statements.")
    sys.argv[0] = "aperture-db"
    main()
