"""`aperture-db relink`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias
from uuid import UUID

import typer

from aperture_db.cli.command import command
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.options import ConfirmOption, require_confirmation
from aperture_db.cli.run import Run
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import plural

with lazy_imports():
    from aperture_db import aperture
    from aperture_db.postgres import activity, connection
    from aperture_db.relink import apply as room
    from aperture_db.relink import keep, kept, plan, report, transfer, users
    from aperture_db.render import relink as view

INSTEAD = "Instead of listing"
ALSO = "Also put back"


class Shown(StrEnum):
    """The titles that --show lists."""

    PENDING = "pending"
    AMBIGUOUS = "ambiguous"


ApplyOption: TypeAlias = Annotated[
    bool, typer.Option("--apply", help="Put back what is ready; with --users, adopt the pairs.")
]
HistoryOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--include-watch-history", rich_help_panel=ALSO,
        help="Watch history of users that no sync of the media server reads.",
    ),
]  # fmt: skip
SimilarityOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--include-similarity", rich_help_panel=ALSO, help="Cached AI verdicts on pairs of titles."
    ),
]
LockedOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--include-locked", rich_help_panel=ALSO,
        help="Locked taste profiles that purge --include-locked reset.",
    ),
]  # fmt: skip
ShowOption: TypeAlias = Annotated[
    Shown | None,
    typer.Option("--show", rich_help_panel=INSTEAD, help="List titles with the reason."),
]
MatchOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--match", metavar="OLD=NEW", rich_help_panel=INSTEAD,
        help="Decide that a kept title is this present one, by their ids; may be repeated.",
    ),
]  # fmt: skip
UsersOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--users", rich_help_panel=INSTEAD,
        help="After a change of the media server: pair old accounts with new ones.",
    ),
]  # fmt: skip
PairOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--pair", metavar="OLD=NEW", rich_help_panel=INSTEAD,
        help="With --users: pair these accounts, by id or name; may be repeated.",
    ),
]  # fmt: skip
KeepOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--keep", rich_help_panel=INSTEAD,
        help="Keep identities and user data now, without a purge.",
    ),
]  # fmt: skip
ForgetOption: TypeAlias = Annotated[
    bool,
    typer.Option("--forget", rich_help_panel=INSTEAD, help="Drop everything that is kept."),
]
ExportOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--export", metavar="FILE", rich_help_panel=INSTEAD,
        help="Write what is kept to a new file, for another database.",
    ),
]  # fmt: skip
ImportOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--import", metavar="FILE", rich_help_panel=INSTEAD,
        help="Keep what a file of --export or of purge --export-ratings holds.",
    ),
]  # fmt: skip

app = typer.Typer(add_completion=False)


@command(
    app,
    "relink",
    examples=[
        "aperture-db relink",
        "aperture-db relink --apply",
        "aperture-db relink --show pending",
    ],
)
def relink(
    run: Run,
    apply: ApplyOption = False,
    include_watch_history: HistoryOption = False,
    include_similarity: SimilarityOption = False,
    include_locked: LockedOption = False,
    show: ShowOption = None,
    match: MatchOption = None,
    users_: UsersOption = False,
    pair: PairOption = None,
    keep_: KeepOption = False,
    forget: ForgetOption = False,
    export: ExportOption = None,
    import_: ImportOption = None,
    confirm: ConfirmOption = None,
) -> None:
    """Put back what users made, after a purge and the next sync.

    Lists what purge kept, which titles match, and what would be put back. Nothing is changed
    without --apply. Run it again after each sync while rows are waiting.
    """
    chosen = {
        "--show": show, "--match": match, "--users": users_, "--keep": keep_, "--forget": forget,
        "--export": export, "--import": import_,
    }  # fmt: skip
    _require_one_of(chosen, apply=apply, has_pairs=bool(pair), for_users=users_)
    options = report.RelinkOptions(include_watch_history, include_similarity, include_locked)
    if show:
        _show(run, show, options)
    elif match:
        _match(run, match)
    elif users_:
        _users(run, pair or [], confirm, is_applied=apply)
    elif keep_:
        _keep(run)
    elif forget:
        _forget(run, confirm)
    elif export:
        _export(run, export)
    elif import_:
        _import(run, import_)
    elif apply:
        _apply(run, options)
    else:
        run.show(report.RelinkReport(_plan(run, options)), view.render_relink)


def _require_one_of(
    chosen: Mapping[str, object], *, apply: bool, has_pairs: bool, for_users: bool
) -> None:
    given = [name for name, value in chosen.items() if value]
    if apply and not for_users:
        given = ["--apply", *given]
    if len(given) > 1:
        raise UsageError(
            f"{given[0]} and {given[1]} can't be combined",
            why="each of them says what to do",
            next_step="choose one of them",
        )
    if has_pairs and not for_users:
        raise UsageError(
            "--pair needs --users",
            why="it pairs accounts; titles are matched with --match",
            next_step="add --users",
        )


@contextmanager
def _connect(run: Run) -> Iterator[connection.Connection]:
    """A connection for changes: every command here is one transaction, or can be run again."""
    with run.connect() as conn:
        activity.settle_commits(conn, run.target)
        yield conn


def _plan(run: Run, options: report.RelinkOptions) -> report.RelinkPlan:
    with run.connect(read_only=True) as conn, conn.transaction():
        made, _links = plan.make_plan(conn, options)
    return made


def _apply(run: Run, options: report.RelinkOptions) -> None:
    stays = "what was put back up to now stays, the rest still waits; run the command again"
    run.interrupted_note = stays
    try:
        with _connect(run) as conn:
            with conn.transaction():
                made, links = plan.make_plan(conn, options)
            run.data = report.RelinkReport(made)
            for remark in made.remarks if run.options.quiet else ():
                run.warn(remark)
            events = room.apply(conn, links, options)
            with run.reporter() as reporter, closing(events):
                for done in reporter.report(events):
                    run.data = report.RelinkReport(made, done.outcome)
    except ApertureDbError as error:
        if run.data is not None:
            error.details += (stays,)
        raise
    run.show(run.data, view.render_relink)


def _show(run: Run, shown: Shown, options: report.RelinkOptions) -> None:
    titles = _plan(run, options).pending
    if shown is Shown.AMBIGUOUS:
        reasons = (report.Reason.AMBIGUOUS, report.Reason.CONTRADICTED)
        titles = tuple(title for title in titles if title.reason in reasons)
    found = report.PendingTitles(titles)
    run.show(found, view.render_pending, view.render_pending if titles else None)


def _match(run: Run, words: list[str]) -> None:
    pairs = [_split(word, "--match") for word in words]
    with _connect(run) as conn, conn.transaction():
        chosen = tuple(kept.choose_match(conn, _id(old), _id(new)) for old, new in pairs)
    run.show(kept.Decisions(chosen), view.render_decisions)


def _users(run: Run, words: list[str], confirm: str | None, *, is_applied: bool) -> None:
    decided = [_split(word, "--pair") for word in words]
    with run.connect(read_only=True) as conn, conn.transaction():
        made = users.plan_users(conn, decided)
    run.data = made
    if not is_applied or not made.ready:
        run.show(made, view.render_users)
        return
    if not (run.options.quiet or run.options.json):
        run.err.print_result(view.render_users(made))
    names = plural(len(made.ready), "old account")
    require_confirmation(
        run, confirm, f"{made.provider} takes over {names}, and the new ones are deleted."
    )
    with _connect(run) as conn, conn.transaction():
        done = users.adopt_users(conn, made, decided)
    run.show(done, view.render_users)


def _keep(run: Run) -> None:
    with _connect(run) as conn, conn.transaction():
        keep.require_may_keep(conn)
        library = kept.require_aperture(conn)
        counts = keep.keep(conn, library, list(aperture.Media), report.RowOrigin.KEEP)
    run.show(counts, view.render_kept)


def _forget(run: Run, confirm: str | None) -> None:
    with run.connect(read_only=True) as conn, conn.transaction():
        counts = kept.plan_to_forget(conn)
    run.data = counts
    if not (run.options.quiet or run.options.json):
        run.err.print_result(view.render_forget_plan(counts))
    rows = plural(counts.waiting_rows, "row")
    require_confirmation(run, confirm, f"{rows} can't be put back after that.")
    with _connect(run) as conn, conn.transaction():
        keep.drop_kept_tables(conn)
    run.show(counts, view.render_forgotten)


def _export(run: Run, path: Path) -> None:
    with run.connect(read_only=True) as conn, conn.transaction():
        written = transfer.export_kept(conn, path)
    run.show(written, view.render_transfer)


def _import(run: Run, path: Path) -> None:
    with _connect(run) as conn, conn.transaction():
        keep.require_may_keep(conn)
        read = transfer.import_kept(conn, path)
    run.show(read, view.render_transfer)


def _split(word: str, option: str) -> tuple[str, str]:
    old, separator, new = word.partition("=")
    if not (old and separator and new):
        raise UsageError(
            f"{option} {word} is not of the form OLD=NEW",
            why="it names an old and a new one, with = between them",
            next_step=f"give {option} OLD=NEW",
        )
    return old, new


def _id(word: str) -> UUID:
    try:
        return UUID(word)
    except ValueError:
        raise UsageError(
            f"{word} is not an id",
            why="titles are named by their ids, which are uuids",
            next_step="aperture-db relink --show pending",
        ) from None
