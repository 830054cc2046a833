"""`aperture-db check-extensions`."""

from __future__ import annotations

from typing import Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.run import Run

app = typer.Typer(add_completion=False)


@command(app, "check-extensions")
def check_extensions(
    run: Run,
    create: Annotated[
        bool,
        typer.Option("--create", help="Install what is missing and update what is older."),
    ] = False,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Use them for real, in a transaction that is undone."),
    ] = False,
) -> None:
    """Check the extensions that Aperture needs.

    Exit code 5 when one of them can't be used.
    """
    from aperture_db import extensions
    from aperture_db.render.extensions import render_extensions

    with run.connect(read_only=not (create or probe)) as conn:
        report = extensions.check(conn, run.target.host, create=create, try_out=probe)
    run.show(report, render_extensions)
    if report.unusable or report.failed_probes:
        raise extensions.finding(report)
    for outdated in report.outdated:
        run.warn(f"{outdated.name}: {outdated.reason}; {'; then: '.join(report.advice)}")
