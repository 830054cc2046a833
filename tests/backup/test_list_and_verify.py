"""`backup --list` and `backup --verify`: what is there, and whether it is good."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aperture_db.backup.directory import BackupDirectory, BackupList, ListedBackup, list_backups
from aperture_db.backup.report import Backup, BackupReport
from aperture_db.dumps import CUSTOM, Purpose, checksum, contents, make_name, read_name
from aperture_db.dumps.programs import how_to_get, how_to_install, installed_programs
from aperture_db.postgres.embedded import server_programs
from aperture_db.render.backup import render_backup, render_contents, render_list
from aperture_db.restore import plan, server
from aperture_db.restore.report import RestoreReport
from aperture_db.safe_files import HeldFile, hold_directory
from tests.conftest import MIGRATION_NAMES
from tests.described import undescribed
from tests.dump_files import make_dump, run_pg_dump
from tests.program import run_inside
from tests.snapshot import rendered

NewDatabase = Callable[[], str]
Snapshot = Callable[[str, str], None]
ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def test_every_kind_of_file_in_a_directory(tmp_path: Path, snapshot: Snapshot) -> None:
    whole = b"PGDMP\x01\x10\x00\x04\x08\x01\x03" + b"x" * 5_000
    sealed = tmp_path / "aperture_backup_2026-03-09_02-00-00.dump"
    sealed.write_bytes(whole)
    with hold_directory(tmp_path) as held, held.hold(sealed.name, os.O_RDWR) as file:
        checksum.write_checksum(file)
    for name, content in {
        "aperture_backup_2026-03-08_02-00-00.dump": whole,
        "aperture_backup_2026-03-07_02-00-00.dump": b"",
        "aperture_backup_2026-03-06_02-00-00.dump": b"not a dump",
        "aperture_backup_2026-03-05_02-00-00.dump": sealed.read_bytes()[:-3],
        "aperture_backup_2025-12-31_02-00-00.sql.gz": gzip.compress(b"-- sql"),
        "aperture_before_restore_2026-03-10_11-58-20.dump": sealed.read_bytes(),
        "aperture_uploaded_2026-03-01_00-00-00.sql": b"-- sql",
        ".aperture_0123.partial": whole,
        "holiday.jpg": b"",
        "aperture_backup_2026-03-09_02-00-00.dump.txt": b"",
    }.items():
        (tmp_path / name).write_bytes(content)

    backups = list_backups(BackupDirectory(tmp_path, "--dir", is_chosen=True))

    shown = replace(backups, directory=Path("/backups"))
    snapshot("backup/list", rendered(render_list(shown, NOW)))


def test_list_needs_no_database_with_dir(tmp_path: Path) -> None:
    outcome = run_inside(
        "backup", "--list", "--dir", str(tmp_path), database="postgresql://[::1]:1/x"
    )
    assert (outcome.code, outcome.out) == (0, f"There are no backups in {tmp_path}.\n")


def test_list_json(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    made = make_dump(conninfo, tmp_path)
    data = run_inside("backup", "--list", "--dir", str(tmp_path), "--json").envelope["data"]
    assert data["directory"] == str(tmp_path)
    assert data["backups"] == [
        {
            "path": str(made.path),
            "purpose": "backup",
            "made_at": made.made_at.isoformat().replace("+00:00", "Z"),
            "size_bytes": made.size_bytes,
            "compression": "zstd",
            "state": "complete",
            "has_own_name": True,
        }
    ]


def test_list_of_a_missing_directory(tmp_path: Path) -> None:
    outcome = run_inside("backup", "--list", "--dir", str(tmp_path / "no"))
    assert outcome.code == 2
    assert "does not exist" in outcome.err


def test_verify_says_what_is_in_it(sample_database: NewDatabase, tmp_path: Path) -> None:
    made = make_dump(sample_database(), tmp_path)
    data = run_inside("backup", "--verify", str(made.path), "--json").envelope["data"]
    assert (data["format"], data["has_checksum"]) == ("custom", True)
    assert len(data["tables"]) == made.table_count
    assert sum(table["row_count"] for table in data["tables"]) == made.row_count
    assert len(data["migrations"]) == len(MIGRATION_NAMES)
    assert [each["name"] for each in data["extensions"]] == ["pg_trgm", "pgcrypto", "vector"]


@pytest.mark.parametrize("form", ["custom", "sql", "sql.gz"])
def test_verify_dumps_of_others(form: str, aperture_database: NewDatabase, tmp_path: Path) -> None:
    arguments = ("-F", "c") if form == "custom" else ()
    file = run_pg_dump(aperture_database(), tmp_path / "dump", *arguments)
    if form == "sql.gz":
        file.write_bytes(gzip.compress(file.read_bytes()))
    outcome = run_inside("backup", "--verify", str(file))
    assert outcome.code == 0, outcome.err
    checksum = "checksum of gzip OK" if form == "sql.gz" else "no checksum of aperture-db"
    assert f"({form}), {checksum}; 80 tables with 151 rows" in outcome.out


def test_verify_a_broken_one(aperture_database: NewDatabase, tmp_path: Path) -> None:
    made = make_dump(aperture_database(), tmp_path)
    made.path.write_bytes(made.path.read_bytes()[:-1000])
    outcome = run_inside("backup", "--verify", str(made.path), "--json")
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "broken_dump"


def test_list_and_verify_exclude_each_other() -> None:
    assert run_inside("backup", "--list", "--verify", "x").code == 2


def test_root_gives_the_file_to_the_directorys_owner(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    """So that Aperture, which owns its directory, can read what root wrote there."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(tmp_path, 1234, 4321)
    status = make_dump(aperture_database(), tmp_path).path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1234, 4321, 0o600)


@pytest.mark.parametrize(
    ("name", "purpose", "made_at"),
    [
        ("aperture_backup_2026-03-09_02-00-00.dump", "backup", (2026, 3, 9, 2)),
        ("aperture_backup_2026-03-09_02-00-00_prepurge.sql.gz", "backup", (2026, 3, 9, 2)),
        ("aperture_backup_prepurge_2026-03-09_02-00-00.sql", "backup", (2026, 3, 9, 2)),
        ("aperture_backup_mine.dump", "backup", None),
        ("aperture_backup_2026-13-09_02-00-00.dump", "backup", None),
        ("aperture_before_purge_2026-03-09_02-00-00.dump", "before_purge", (2026, 3, 9, 2)),
    ],
)
def test_names(name: str, purpose: str, made_at: tuple[int, int, int, int] | None) -> None:
    read = read_name(name)
    assert read is not None
    assert read.purpose == purpose
    assert read.made_at == (datetime(*made_at, tzinfo=UTC) if made_at else None)


@pytest.mark.parametrize("name", ["x.dump", "aperture_backup.txt", "aperture_backup_1.dump.gz"])
def test_other_names(name: str) -> None:
    assert read_name(name) is None


def test_what_restore_saves_is_not_on_apertures_page() -> None:
    for purpose in (Purpose.BEFORE_RESTORE, Purpose.BEFORE_PURGE):
        assert not make_name(purpose, NOW).startswith("aperture_backup_")


@pytest.mark.parametrize(
    ("os_release", "command"),
    [
        ("ID=alpine\n", "apk add postgresql18-client"),
        ('ID=ubuntu\nID_LIKE="debian"\n', "apt-get install -y postgresql-client-18"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install -y postgresql18"),
        ("ID=nixos\n", "https://www.postgresql.org/download/"),
    ],
)
def test_how_to_install(os_release: str, command: str, tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text(os_release)
    assert command in how_to_install(18, file)


def test_in_an_image_nothing_is_installed(tmp_path: Path) -> None:
    """It is built again with the versions that it has and the one that it lacks."""
    mark = tmp_path / "part-of-an-image"
    mark.touch()
    majors = sorted({each.major for each in installed_programs(os.environ["PATH"])})
    wanted = " ".join(map(str, [*majors, 99]))
    assert mark.name in (ROOT / "docker" / "install_tool.sh").read_text()
    assert (
        how_to_get(99, mark)
        == f'build this image again with --build-arg POSTGRESQL_CLIENTS="{wanted}"'
    )


def test_programs_are_sorted_by_version_and_wrappers_left_out() -> None:
    found = installed_programs(os.environ["PATH"])
    assert [each.version for each in found] == sorted(each.version for each in found)
    assert all(each.pg_dump.resolve().name != "pg_wrapper" for each in found)


def test_the_embedded_servers_programs_serve_backups() -> None:
    """Who tries the demo has no other pg_dump, or one that is too old for it."""
    embedded = server_programs()
    assert embedded in [each.directory for each in installed_programs(os.defpath)]


def test_views(snapshot: Snapshot) -> None:
    backup = Backup(
        path=Path("/backups/aperture_backup_2026-03-10_02-00-00.dump"),
        made_at=NOW,
        size_bytes=48_300_000,
        compression="zstd:3",
        table_count=80,
        row_count=412_345,
        last_migration="0114_watch_history_playback_progress.sql",
        server_version="16.4",
        pg_dump_version="16.4",
        duration_seconds=12.3,
        refusal=None,
    )
    pruned = (Path("/backups/aperture_backup_2026-03-03_02-00-00.dump"),)
    report = BackupReport(backup, keep=7, pruned=pruned, spared=None, is_recorded=True)
    snapshot("backup/made", rendered(render_backup(report)))
    held = contents.DumpContents(
        path=backup.path,
        size_bytes=backup.size_bytes,
        format=CUSTOM,
        has_checksum=True,
        made_at=NOW,
        dumped_from="16.4 (Debian 16.4-1.pgdg120+1)",
        dumped_by="16.4 (Debian 16.4-1.pgdg120+1)",
        tables=(contents.DumpedTable("public", "movies", True, 412_345),),
        migrations=("0114_watch_history_playback_progress.sql",),
        extensions=(),
        entries=(),
        native_functions=frozenset(),
        settings=frozenset(),
        file=HeldFile(backup.path, -1),
        file_state=(0, 0, 0),
    )
    snapshot("backup/verified", rendered(render_contents(held)))


def test_the_json_is_described() -> None:
    assert not undescribed(
        "backup",
        BackupReport,
        Backup,
        BackupList,
        ListedBackup,
        contents.DumpContents,
        contents.DumpedTable,
        contents.DumpedExtension,
    )
    assert not undescribed(
        "restore",
        RestoreReport,
        plan.RestorePlan,
        server.TargetServer,
        server.OtherSession,
    )
