"""The views of `relink`: the plan, the outcome, and the pages about titles, users and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from aperture_db.format import format_count, format_seconds, plural, shell_command
from aperture_db.relink.kept import Decisions, ForgetPlan
from aperture_db.relink.report import (
    KeptCounts,
    PendingTitle,
    PendingTitles,
    Reason,
    RelinkOutcome,
    RelinkPlan,
    RelinkReport,
    RowState,
)
from aperture_db.relink.transfer import Transfer
from aperture_db.relink.users import Account, UsersPlan
from aperture_db.render.console import NOTHING, Item, Text, make_table, unbroken

MOST_REMARKS = 10
STATES = {
    RowState.READY: "ready",
    RowState.TITLE_PENDING: "title pending",
    RowState.USER_MISSING: "user missing",
    RowState.RETURNS: "waits for a sync",
    RowState.NOT_REQUESTED: "not requested",
    RowState.ENDED: "no longer wanted",
}


def render_relink(report: RelinkReport) -> RenderableType:
    """The outcome of `--apply`, or the plan."""
    if report.outcome is None:
        return Group(*_plan_parts(report.plan))
    return Group(*_outcome_parts(report.plan, report.outcome))


def render_pending(pending: PendingTitles) -> RenderableType:
    """Every title with the reason, and the command that decides it."""
    return Group(*_pending_parts(pending.titles))


def render_decisions(made: Decisions) -> RenderableType:
    """The result of `--match`."""
    lines = [f"{each.old_title} is now {each.new_title}." for each in made.decisions]
    return Group(*map(Text, lines), Text("To put back what waits for it:"), _apply_command())


def render_forget_plan(plan: ForgetPlan) -> RenderableType:
    return Text(_forget_text("This drops", plan))


def render_forgotten(plan: ForgetPlan) -> RenderableType:
    return Text(_forget_text("Dropped", plan))


def render_kept(counts: KeptCounts) -> RenderableType:
    """The result of `--keep`."""
    table = make_table("table", "kept", right=("kept",))
    for name, count in {**counts.titles, **counts.rows}.items():
        table.add_row(name, format_count(count))
    return Group(table, "", Text("Nothing of Aperture's was changed."))


def render_transfer(transfer: Transfer) -> RenderableType:
    """The result of `--export` or `--import`."""
    held = (
        f"{plural(transfer.rows, 'row')} of {plural(transfer.users, 'user')} and "
        f"{plural(transfer.titles, 'title')}"
    )
    if transfer.new_rows is None:
        return Group(Text(f"Exported {held} to"), unbroken(f"  {transfer.file}"))
    return Group(
        Text(f"Read {held}."),
        Text(_new_rows(transfer.new_rows, transfer.again_rows or 0)),
        Text("To see what can be put back:"),
        unbroken("  aperture-db relink"),
    )


def _new_rows(new: int, again: int) -> str:
    known = f"; {again:,} had been put back or purged, and wait again" if again else ""
    return f"{plural(new, 'row')} not kept here before{known}."


def render_users(plan: UsersPlan) -> RenderableType:
    """The pairs of accounts, or what became of them."""
    return Group(*_users_parts(plan))


def _plan_parts(plan: RelinkPlan) -> Iterator[RenderableType]:
    yield Text("Kept titles", style="heading")
    yield _titles_table(plan)
    if plan.rows:
        yield from _section("Kept rows")
        yield _rows_table(plan)
    if plan.references:
        yield from _section("References to kept titles")
        yield _references_table(plan)
    yield from _remarks(plan)
    yield ""
    yield Text(_plan_summary(plan))
    if plan.ready_rows:
        yield _apply_command(*plan.options.words)
    if plan.pending:
        yield Text("To see the titles that are pending:")
        yield unbroken("  aperture-db relink --show pending")


def _titles_table(plan: RelinkPlan) -> RenderableType:
    reasons = [str(reason) for reason in Reason]
    table = make_table(
        "kind", "kept", "matched", *reasons, "by", right=("kept", "matched", *reasons)
    )
    for counts in plan.titles:
        by = ", ".join(f"{evidence} {count:,}" for evidence, count in counts.matched.items())
        table.add_row(
            str(counts.kind),
            format_count(counts.kept),
            format_count(counts.matched_count),
            *(_count(counts.pending.get(reason, 0)) for reason in Reason),
            by or NOTHING,
        )
    return table


def _rows_table(plan: RelinkPlan) -> RenderableType:
    shown = [state for state in STATES if any(state in each.states for each in plan.rows)]
    names = [STATES[state] for state in shown]
    table = make_table("user", "table", *names, right=names)
    for counts in plan.rows:
        table.add_row(
            counts.user,
            counts.table,
            *(_count(counts.states.get(state, 0)) for state in shown),
        )
    return table


def _references_table(plan: RelinkPlan) -> RenderableType:
    columns = ("rows to update", "rows waiting")
    table = make_table("user", "table", *columns, right=columns)
    for each in plan.references:
        table.add_row(each.user or NOTHING, each.table, _count(each.rows), _count(each.waiting))
    return table


def _remarks(plan: RelinkPlan) -> Iterator[RenderableType]:
    if not plan.remarks:
        return
    yield from _section("Remarks", "warning")
    for remark in plan.remarks[:MOST_REMARKS]:
        yield Item("- ", Text(remark))
    if len(plan.remarks) > MOST_REMARKS:
        yield Text(f"and {len(plan.remarks) - MOST_REMARKS:,} more, with --json", style="muted")


def _plan_summary(plan: RelinkPlan) -> str:
    if not plan.ready_rows and not plan.waiting_rows:
        return "Nothing waits to be put back."
    if not plan.ready_rows:
        return f"{plural(plan.waiting_rows, 'row')} waiting; nothing can be put back yet."
    waiting = f"; {plan.waiting_rows:,} would still wait" if plan.waiting_rows else ""
    return f"{plural(plan.ready_rows, 'row')} can be put back{waiting}. To do it:"


def _outcome_parts(plan: RelinkPlan, outcome: RelinkOutcome) -> Iterator[RenderableType]:
    parts = {
        "put back": outcome.put_back,
        "already there": outcome.already_there,
        "updated": outcome.updated,
        **({"no longer wanted": outcome.ended} if outcome.ended else {}),
    }
    table = make_table("table", *parts, right=tuple(parts))
    for name in dict.fromkeys(name for part in parts.values() for name in part):
        table.add_row(name, *(_count(part.get(name, 0)) for part in parts.values()))
    if table.row_count:
        yield table
        yield ""
    put_back, updated = sum(outcome.put_back.values()), sum(outcome.updated.values())
    yield Text(
        f"Put back {plural(put_back, 'row')} and updated {updated:,} in "
        f"{format_seconds(outcome.duration_seconds)}."
    )
    if outcome.aged_profiles:
        profiles = plural(outcome.aged_profiles, "taste profile")
        yield Text(f"The next recommendations rebuild {profiles}.")
    if plan.waiting_rows:
        yield Text(f"{plural(plan.waiting_rows, 'row')} still waiting:", style="warning")
        for text, command in _ways_out(plan):
            yield Item("- ", Text(text))
            if command:
                yield unbroken(f"    {command}")


def _ways_out(plan: RelinkPlan) -> Iterator[tuple[str, str]]:
    """What each kind of waiting rows needs, and the command for it."""
    waiting = {state: sum(each.states.get(state, 0) for each in plan.rows) for state in STATES}
    if plan.pending or any(each.waiting for each in plan.references):
        text = "titles that are not there or not certain: run this again after a sync, or decide"
        yield text, "aperture-db relink --show pending" if plan.pending else ""
    if rows := waiting[RowState.USER_MISSING]:
        text = f"{plural(rows, 'row')} of users who are not there: run sync-users; after a change "
        yield f"{text}of the media server, adopt their accounts", "aperture-db relink --users"
    if rows := waiting[RowState.RETURNS]:
        yield f"{plural(rows, 'row')} that sync-watching-favorites brings back: run it first", ""


def _pending_parts(titles: Sequence[PendingTitle]) -> Iterator[RenderableType]:
    if not titles:
        yield Text("No title is pending that anything waits for.")
        return
    for title in titles:
        waiting = plural(title.waiting_rows, "row")
        heading = f"{title.title}: {title.kind}, {title.reason}, {waiting} waiting"
        yield Text(heading, style="heading")
        yield Item("  ", Text(title.text))
        for choice in title.candidates:
            yield Item("  ", Text(f"to choose {choice.title}:"))
            yield unbroken(
                "  "
                + shell_command(
                    "aperture-db", "relink", "--match", f"{title.old_id}={choice.new_id}"
                )
            )
        if not title.candidates:
            yield unbroken(f"  its old id is {title.old_id}", "muted")


def _users_parts(plan: UsersPlan) -> Iterator[RenderableType]:
    if plan.pairs:
        table = make_table("old account", "of", "rows", "new account", "state", right=("rows",))
        for pair in plan.pairs:
            state = "adopted" if plan.is_done else pair.refusal or "ready"
            table.add_row(
                _account(pair.old),
                pair.old.provider,
                f"{pair.old.rows:,}",
                pair.new.username,
                state,
            )
        yield table
    else:
        yield Text(f"No account of another media server has its pair at {plan.provider}.")
    for title, accounts in (
        ("Old accounts without a pair", plan.unpaired_old),
        (f"Accounts at {plan.provider} without a pair", plan.unpaired_new),
    ):
        if accounts and (plan.pairs or plan.unpaired_old):
            yield from _section(title)
            for account in accounts:
                yield unbroken(f"  {account.user_id}  {_account(account)}")
    if plan.unpaired_old and plan.unpaired_new and not plan.is_done:
        yield ""
        yield Text("To pair two of them yourself:")
        yield unbroken("  aperture-db relink --users --pair OLD=NEW --apply")
    if plan.is_done:
        yield ""
        yield Text("Now run sync-users, and let the users log in again.")
    elif plan.ready:
        yield ""
        yield Text(f"To adopt {plural(len(plan.ready), 'old account')}:")
        pairs = [word for pair in plan.decided for word in ("--pair", "=".join(pair))]
        command = shell_command("aperture-db", "relink", "--users", *pairs, "--apply")
        yield unbroken(f"  {command}")


def _account(account: Account) -> str:
    known = [account.email, account.trakt_username and f"Trakt {account.trakt_username}"]
    shown = ", ".join(each for each in known if each)
    return f"{account.username} ({shown})" if shown else account.username


def _forget_text(verb: str, plan: ForgetPlan) -> str:
    identities = plural(plan.titles, "identity of a title", "identities of titles")
    return (
        f"{verb} {plural(plan.waiting_rows, 'row')} not put back yet, {plan.done_rows:,} put back, "
        f"and {identities}."
    )


def _apply_command(*options: str) -> RenderableType:
    return unbroken("  " + shell_command("aperture-db", "relink", *options, "--apply"))


def _section(title: str, style: str = "heading") -> Iterator[RenderableType]:
    yield ""
    yield Text(title, style=style)


def _count(count: int) -> str:
    return format_count(count) if count else NOTHING
