"""`aperture-db report`."""

from __future__ import annotations

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.run import Run
from aperture_db.errors import UsageError

with lazy_imports():
    from aperture_db import report as reports
    from aperture_db.health import checks
    from aperture_db.render import report as view

EXTRA_PACKAGES = ("jinja2", "pygal")

app = typer.Typer(add_completion=False)


@command(
    app,
    "report",
    examples=[
        "aperture-db report --output report.html",
        "aperture-db report -q --output /var/www/html/aperture.html    # from cron",
        "docker exec aperture aperture-db report > report.html",
    ],
)
def report(
    run: Run,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE",
            help="Write the page to this file, atomically and readable by you alone.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Write an HTML page about the database, fit to attach to a bug report.

    It shows counts, health, storage, growth, embeddings, migrations and settings, and needs no
    other file. Titles and the names of users, roles, databases, hosts and paths are left out.
    """
    if output is None and not run.options.json and sys.stdout.isatty():
        raise UsageError(
            "the report is an HTML page, and stdout is a terminal",
            why="a page is for a browser",
            next_step="aperture-db report --output report.html",
        )
    if not run.options.json or output is not None:
        _require_extra()
    state = reports.collect(partial(run.connect, read_only=True), run.target, checks.CHECKS)
    run.data = state
    if output is not None:
        run.write_file(output, view.render_report(state), mode=0o600)
        run.say(f"the report is in {output}")
    elif not run.options.json:
        run.print_raw(view.render_report(state).rstrip("\n"))


def _require_extra() -> None:
    missing = [name for name in EXTRA_PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the report needs {' and '.join(missing)}",
            why="aperture-db was installed without the extra `report`",
            next_step="in the directory of aperture-db: pip install '.[report]'",
            code="missing_extra",
        )
