"""`aperture-db check-extensions`."""

from __future__ import annotations

from typing import Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.run import Run

with lazy_imports():
    from aperture_db.extensions import check
    from aperture_db.extensions import collect as extensions
    from aperture_db.render import migrate as view

app = typer.Typer(add_completion=False)


@command(
    app,
    "check-extensions",
    examples=[
        "aperture-db check-extensions",
        "aperture-db check-extensions --create",
        "aperture-db check-extensions --probe",
    ],
)
def check_extensions(
    run: Run,
    create: Annotated[
        bool,
        typer.Option("--create", help="Create missing extensions and update old ones."),
    ] = False,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Use them for real, in a transaction that is rolled back."),
    ] = False,
) -> None:
    """Check the extensions that Aperture needs.

    Exits with code 5 if one of them can't be used.
    """
    with run.connect(read_only=not (create or probe)) as conn:
        report = check.check(conn, run.target.host, create=create, try_out=probe)
        run.warn_of_encoding(conn)
    run.show(report, view.render_extensions)
    if report.unusable or report.failed_probes:
        raise extensions.finding(report)
    for outdated in report.outdated:
        run.warn(f"{outdated.name}: {outdated.reason}; {'; then: '.join(report.advice)}")
