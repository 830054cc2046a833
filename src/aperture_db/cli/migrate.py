"""`aperture-db migrate`."""

from __future__ import annotations

import typer

from aperture_db.cli.command import command
from aperture_db.cli.run import Run


def register(app: typer.Typer) -> None:
    @command(app, "migrate", panel="Maintain")
    def migrate(run: Run) -> None:
        """Apply the migrations that are pending."""
        with run.connect(read_only=True) as conn:
            run.show(conn.execute("select 1").fetchone(), str)
