"""The views of `purge`: the plan and the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType

from aperture_db.format import (
    format_bytes,
    format_count,
    format_seconds,
    plural,
)
from aperture_db.purge.report import (
    Deletion,
    JobToRun,
    PurgeOutcome,
    PurgePlan,
    PurgeReport,
    Strategy,
)
from aperture_db.render.console import Item, Text, dry_run_ending, make_table, unbroken

NOTHING = "Nothing to purge: no rows to delete or update."
NO_TABLES = "Nothing to purge: this database has none of the Aperture tables concerned."


def render_purge(report: PurgeReport) -> RenderableType:
    """The outcome, or the plan of a purge that has not happened."""
    if report.outcome is not None:
        return Group(*_outcome_parts(report, report.outcome))
    return Group(*_dry_run_parts(report))


def render_plan(plan: PurgePlan) -> RenderableType:
    """The whole plan, the steps to take last."""
    return Group(*_plan_parts(plan), "")


def _dry_run_parts(report: PurgeReport) -> Iterator[RenderableType]:
    plan = report.plan
    if not plan.rows and not plan.updated_rows:
        yield Text(NOTHING if plan.deletions else NO_TABLES)
        return
    yield from _plan_parts(plan)
    yield from dry_run_ending(report.command)


def _plan_parts(plan: PurgePlan) -> Iterator[RenderableType]:
    yield Text(f"Will be deleted ({plan.what})", style="heading")
    yield _deletion_table(plan)
    idle = sum(not deletion.rows for deletion in plan.deletions)
    if idle:
        yield Text(f"{plural(idle, 'more table')} without rows to delete.", style="muted")
    updates = [update for update in plan.updates if update.rows]
    if updates:
        yield from _section("Will be updated")
        table = make_table("table", "rows", "how", right=("rows",))
        for update in updates:
            how = f"{', '.join(update.columns)} = {update.value}: {update.effect}"
            table.add_row(update.table, format_count(update.rows), how)
        yield table
    yield from _bullets("Will be kept", plan.kept)
    yield from _user_data(plan)
    yield from _losses(plan)
    yield from _bullets("Warnings", [warning.text for warning in plan.warnings], style="warning")
    yield from _bullets("Missing privileges", _grants(plan), style="critical")
    yield from _bullets("Before the purge", plan.first)
    yield from _jobs(plan)


def _deletion_table(plan: PurgePlan) -> RenderableType:
    table = make_table("table", "rows", "of", "size", right=("rows", "of", "size"))
    size_bytes, is_exact = 0, True
    for deletion in sorted(plan.deletions, key=lambda each: -each.rows):
        share_bytes = _size_of(deletion)
        size_bytes += share_bytes
        if not deletion.rows:
            continue
        exact = deletion.way is not Strategy.DELETE
        is_exact &= exact
        table.add_row(
            deletion.table,
            format_count(deletion.rows),
            format_count(deletion.rows_before),
            _marked(share_bytes, is_exact=exact),
        )
    total = _marked(size_bytes, is_exact=is_exact)
    table.add_row("total", format_count(plan.rows), "", total, style="heading")
    return table


def _size_of(deletion: Deletion) -> int:
    """The disk space to free; of a shared table by the share of its rows."""
    match deletion.way:
        case Strategy.TRUNCATE | Strategy.REBUILD:
            return deletion.size_bytes
        case Strategy.DELETE:
            return deletion.size_bytes * deletion.rows // deletion.rows_before
        case Strategy.SKIP:
            return 0


def _marked(size_bytes: int, *, is_exact: bool) -> str:
    return ("" if is_exact else "~") + format_bytes(size_bytes)


def _user_data(plan: PurgePlan) -> Iterator[RenderableType]:
    if plan.user_data is None or not plan.user_data.total_rows + plan.user_data.total_titles:
        return
    yield from _section("Will be kept for relink, to be put back after the next sync")
    table = make_table("rows", "of", right=("rows",))
    for name, rows in plan.user_data.rows.items():
        if rows:
            table.add_row(format_count(rows), name)
    table.add_row(format_count(plan.user_data.total_titles), "identities of titles")
    yield table


def _losses(plan: PurgePlan) -> Iterator[RenderableType]:
    if not plan.losses:
        return
    yield from _section("Cannot be recovered", "critical")
    table = make_table("rows", "what", "why", right=("rows",))
    for loss in plan.losses:
        table.add_row(format_count(loss.rows), loss.what, loss.why)
    yield table


def _grants(plan: PurgePlan) -> Iterator[str]:
    for missing in plan.missing_privileges:
        yield f"{missing.privilege} on {', '.join(missing.tables)}; as the owner: {missing.grant}"


def _jobs(plan: PurgePlan) -> Iterator[RenderableType]:
    yield from _section("Afterwards, in this order")
    steps: list[Text] = [Text(step) for step in plan.then]
    for job in plan.jobs:
        steps.append(_job_text(job))
        if job.then:
            steps.append(Text(job.then))
    width = len(f"{len(steps)}. ")
    for number, step in enumerate(steps, start=1):
        yield Item(f"{number}. ".rjust(width), step)


def _job_text(job: JobToRun) -> Text:
    text = Text(job.name, style="muted" if job.is_optional else "")
    remarks = [*(["optional"] if job.is_optional else []), *([job.note] if job.note else [])]
    if remarks:
        text.append(f" ({'; '.join(remarks)})", style="muted")
    return text


def _bullets(title: str, lines: Iterable[str], style: str = "") -> Iterator[RenderableType]:
    items = [Item("- ", Text(line, style=style)) for line in lines]
    if items:
        yield from _section(title, style or "heading")
        yield from items


def _section(title: str, style: str = "heading") -> Iterator[RenderableType]:
    yield ""
    yield Text(title, style=style)


def _outcome_parts(report: PurgeReport, outcome: PurgeOutcome) -> Iterator[RenderableType]:
    differs = any(table.rows != table.planned_rows for table in outcome.deleted)
    columns = ("table", "deleted", "planned") if differs else ("table", "deleted")
    table = make_table(*columns, right=("deleted", "planned"))
    for deleted in sorted(outcome.deleted, key=lambda each: -each.rows):
        if deleted.rows or deleted.planned_rows:
            counts = (deleted.rows, deleted.planned_rows)[: len(columns) - 1]
            table.add_row(deleted.table, *map(format_count, counts))
    if table.row_count:
        yield table
        yield ""
    yield Text(_summary(outcome))
    if outcome.shrink_command:
        yield Text(
            f"The space of {plural(len(outcome.not_shrunk), 'table')} is free for new rows, but "
            "was not returned to the system. As the owner run:",
            style="warning",
        )
        yield unbroken(f"  {outcome.shrink_command}")
    yield from _jobs(report.plan)
    yield ""
    if report.undo_command:
        if any(table.rows > table.planned_rows for table in outcome.deleted):
            yield Text("Rows that were added after the backup are not in it.", style="warning")
        yield Text("To undo this:")
        yield unbroken(f"  {report.undo_command}")
    else:
        yield Text("This cannot be undone: no backup was made.")


def _summary(outcome: PurgeOutcome) -> str:
    seconds = format_seconds(outcome.duration_seconds)
    updated = f" and updated {outcome.updated_rows:,}" if outcome.updated_rows else ""
    text = f"Deleted {plural(outcome.rows, 'row')}{updated} in {seconds}."
    before, after = outcome.size_before_bytes, outcome.size_after_bytes
    if before is not None and after is not None and before > after:
        freed = format_bytes(before - after)
        text += f" {freed} freed: {format_bytes(before)} before, {format_bytes(after)} now."
    return text
