"""`aperture-db stats`."""

from __future__ import annotations

import typer

from aperture_db.cli.command import command
from aperture_db.cli.run import Run


def register(app: typer.Typer) -> None:
    @command(app, "stats", panel="Inspect")
    def stats(run: Run) -> None:
        """Count what the library holds and how much space it takes."""
        with run.connect(read_only=True) as conn:
            run.show(conn.execute("select 1").fetchone(), str)
