"""`aperture-db backup` makes what Aperture's page lists, records it, and removes the old ones."""

from __future__ import annotations

import errno
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.backup.directory import BackupState, ListedBackup, choose_expired
from aperture_db.dumps import Purpose, archive_compression, make_name, programs
from aperture_db.dumps.programs import newest_programs
from aperture_db.errors import ClientProgramError
from tests.backup.stand_ins import stand_in
from tests.cli import COMMAND, Outcome, environment, finish
from tests.dump_files import (
    PLACES,
    execute,
    fetch_one,
    make_dump,
    read_rows,
    run_pg_dump,
    start_program,
)
from tests.program import run_inside
from tests.servers.roles import Rights

NewDatabase = Callable[[], str]
# What Aperture's page takes for a backup, and what it takes for a valid one.
LISTED = re.compile(r"aperture_backup_.*\.(dump|sql|sql\.gz)")
NAMED = re.compile(r"aperture_backup_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.dump")


def backup(conninfo: str, *options: str) -> Outcome:
    return run_inside("backup", *options, database=conninfo)


def test_name_mode_and_record(sample_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = sample_database()
    execute(conninfo, f"UPDATE backup_config SET backup_path = '{tmp_path}'")
    before = datetime.now(UTC).replace(microsecond=0)

    outcome = backup(conninfo, "--dir", str(tmp_path))

    assert outcome.code == 0, outcome.err
    (file,) = tmp_path.iterdir()
    assert NAMED.fullmatch(file.name)
    assert str(file) in outcome.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes().startswith(b"PGDMP")
    made_at = datetime.strptime(file.name[16:35], "%Y-%m-%d_%H-%M-%S").replace(tzinfo=UTC)
    assert timedelta(0) <= made_at - before < timedelta(minutes=2)
    with psycopg.connect(conninfo) as conn:
        record = conn.execute(
            "SELECT last_backup_at, last_backup_filename, last_backup_size_bytes FROM backup_config"
        ).fetchone()
    assert record == (made_at, file.name, file.stat().st_size)


def test_the_json_object(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    execute(conninfo, f"UPDATE backup_config SET backup_path = '{tmp_path}/'")
    rows = read_rows(conninfo)

    data = backup(conninfo, "--dir", str(tmp_path), "--json").envelope["data"]

    assert data["backup"]["path"] == str(next(tmp_path.iterdir()))
    assert data["backup"]["table_count"] == len(rows)
    assert data["backup"]["row_count"] == sum(count for count, _ in rows.values())
    assert data["backup"]["last_migration"].startswith("0114_")
    assert data["pruned"] == []
    assert data["is_recorded"] is True


def test_quiet_says_nothing(aperture_database: NewDatabase, tmp_path: Path) -> None:
    outcome = backup(aperture_database(), "--dir", str(tmp_path), "-q")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_the_directory_of_apertures_settings(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    execute(conninfo, f"UPDATE backup_config SET backup_path = '{tmp_path}', retention_count = 2")
    for _ in range(3):
        assert backup(conninfo).code == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_a_backup_elsewhere_is_not_named_to_apertures_page(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    """Its page lists the files of backup_path only; our own schema says where this one is."""
    conninfo = aperture_database()
    query = "SELECT last_backup_at, last_backup_filename, last_backup_size_bytes FROM backup_config"
    for number in range(2):
        outcome = backup(conninfo, "--dir", str(tmp_path), "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.envelope["data"]["is_recorded"] is False
        with psycopg.connect(conninfo) as conn:
            assert conn.execute(query).fetchone() == (None, None, None)
            recorded = conn.execute("TABLE aperture_db.backups ORDER BY id").fetchall()
        made = outcome.envelope["data"]["backup"]
        assert len(recorded) == number + 1
        assert recorded[-1][2:] == (
            str(tmp_path), Path(made["path"]).name, made["size_bytes"]
        )  # fmt: skip
    health = run_inside("health", "--only", "backup-age", "--json", database=conninfo)
    (check,) = health.envelope["data"]["checks"]
    assert (check["status"], check["value"] < 3600) == ("ok", True)
    Path(made["path"]).unlink()
    health = run_inside("health", "--only", "backup-age", "--json", database=conninfo)
    assert health.envelope["data"]["checks"][0]["status"] == "warning"


def test_only_the_newest_records_are_kept(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    assert backup(conninfo, "--dir", str(tmp_path)).code == 0
    execute(
        conninfo,
        "INSERT INTO aperture_db.backups (made_at, directory, file_name, size_bytes) "
        "SELECT now(), '/x', 'x', 1 FROM generate_series(1, 150)",
    )
    assert backup(conninfo, "--dir", str(tmp_path)).code == 0
    assert fetch_one(conninfo, "SELECT count(*) FROM aperture_db.backups") == 100


def test_a_file_dated_in_the_future_is_never_the_newest(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    future = tmp_path / make_name(Purpose.BACKUP, datetime(2999, 1, 1, tzinfo=UTC))
    make_dump(conninfo, tmp_path).path.rename(future)
    kept = [make_dump(conninfo, tmp_path).path for _ in range(2)]

    outcome = backup(conninfo, "--dir", str(tmp_path), "--keep", "3", "--json")

    assert outcome.envelope["data"]["pruned"] == [str(future)]
    make_dump(conninfo, tmp_path).path.rename(future)
    listed = run_inside("backup", "--list", "--dir", str(tmp_path))
    assert listed.out.splitlines()[1].startswith(kept[0].name[:25])
    assert "in the future" in next(
        line for line in listed.out.splitlines() if line.startswith(future.name)
    )
    assert listed.out.splitlines()[4].startswith(future.name)


@pytest.mark.parametrize("number", ["0001", "0030"])
def test_before_apertures_settings(
    number: str, database_at: Callable[[str], str], tmp_path: Path
) -> None:
    outcome = backup(database_at(number), "--dir", str(tmp_path), "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.envelope["data"]["is_recorded"] is False


def test_an_empty_database(new_database: NewDatabase, tmp_path: Path) -> None:
    outcome = backup(new_database(), "--dir", str(tmp_path))
    assert outcome.code == 0, outcome.err
    assert "0 tables" in outcome.out


def test_a_read_only_role(
    aperture_database: NewDatabase,
    limited_role: Callable[[str, Rights], str],
    tmp_path: Path,
) -> None:
    """It may back up; only Aperture's page can't be told."""
    database = aperture_database()
    conninfo = limited_role(database, "read")
    role = conninfo_to_dict(conninfo)["user"]
    refused = backup(conninfo, "--dir", str(tmp_path))
    assert refused.code == 1
    assert "permission denied for sequence" in refused.err
    advice = re.search(r'GRANT SELECT ON SEQUENCE "public".*;', refused.err)
    assert advice
    assert f'TO "{role}"' in advice[0]
    assert not list(tmp_path.iterdir())
    execute(database, advice[0])

    outcome = backup(conninfo, "--dir", str(tmp_path))

    assert outcome.code == 0, outcome.err
    assert "the backup was not recorded" in outcome.err
    assert "permission denied for database" in outcome.err
    execute(database, f"UPDATE backup_config SET backup_path = '{tmp_path}'")
    outcome = backup(conninfo, "--dir", str(tmp_path))
    assert "permission denied for table backup_config" in outcome.err


@pytest.mark.parametrize("rights", ["none", "read"])
def test_a_table_that_may_not_be_read(
    rights: Rights,
    aperture_database: NewDatabase,
    limited_role: Callable[[str, Rights], str],
    tmp_path: Path,
) -> None:
    database = aperture_database()
    conninfo = limited_role(database, rights)
    execute(database, f'REVOKE SELECT ON users FROM "{conninfo_to_dict(conninfo)["user"]}"')

    outcome = backup(conninfo, "--dir", str(tmp_path))

    assert outcome.code == 1
    assert "permission denied for table" in outcome.err
    assert "GRANT SELECT" in outcome.err
    assert not list(tmp_path.iterdir())


def test_pg_restore_reads_it_as_it_is(sample_database: NewDatabase, tmp_path: Path) -> None:
    """Aperture's page restores with pg_restore: the checksum behind the archive does not
    bother it, from a file or through a pipe."""
    path = make_dump(sample_database(), tmp_path).path
    pg_restore = str(newest_programs().pg_restore)
    command = [pg_restore, "--file=-"]
    from_file = subprocess.run([*command, str(path)], capture_output=True, check=True)
    with path.open("rb") as file:
        cat = subprocess.Popen(["/bin/cat"], stdin=file, stdout=subprocess.PIPE)
        piped = subprocess.run(command, stdin=cat.stdout, capture_output=True, check=True)
        cat.communicate()
    assert from_file.stderr == piped.stderr == b""
    assert b"\\unrestrict" in from_file.stdout or b"dump complete" in from_file.stdout
    assert len(from_file.stdout) == len(piped.stdout)


@pytest.mark.parametrize(
    ("option", "method"),
    [("zstd", "zstd"), ("zstd:19", "zstd"), ("lz4:9", "lz4"), ("gzip:1", "gzip"), ("none", "none")],
)
def test_the_compression_of_the_option(
    option: str, method: str, aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    outcome = backup(conninfo, "--dir", str(tmp_path), "--compress", option, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.envelope["data"]["backup"]["compression"] == option
    listed = run_inside("backup", "--list", "--dir", str(tmp_path), "--json").envelope["data"]
    assert [each["compression"] for each in listed["backups"]] == [method]
    (file,) = tmp_path.iterdir()
    assert run_inside("backup", "--verify", str(file)).code == 0


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("xz", "zstd, gzip, lz4 or none"),
        ("zstd:23", "levels 1 to 22"),
        ("zstd:-1", "levels 1 to 22"),
        ("gzip:", "levels 1 to 9"),
        ("none:1", "none has no level"),
    ],
)
def test_a_compression_that_is_not_possible(option: str, why: str, tmp_path: Path) -> None:
    outcome = run_inside("backup", "--dir", str(tmp_path), "--compress", option)
    assert outcome.code == 2
    assert why in outcome.err


def test_gzip_where_pg_dump_lacks_zstd(
    aperture_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conninfo = aperture_database()
    path = stand_in(tmp_path / "bin", 'exec "$REAL" "$@"', lacks="zstd")
    monkeypatch.setenv("PATH", path)
    directory = tmp_path / "backups"
    directory.mkdir()

    outcome = backup(conninfo, "--dir", str(directory), "--json")

    assert outcome.code == 0, outcome.err
    assert outcome.envelope["data"]["backup"]["compression"] == "gzip:6"
    # The embedded server's own programs are newer than the stand-in, and have it.
    chosen = backup(conninfo, "--dir", str(directory), "--compress", "zstd", "--json")
    assert chosen.envelope["data"]["backup"]["compression"] == "zstd"


@pytest.mark.parametrize(
    ("wanted", "argument", "is_supported"),
    [("gzip:4", "--compress=4", True), ("gzip", "--compress=6", True),
     ("none", "--compress=0", True), ("zstd:3", None, False), ("lz4", None, False)],
)  # fmt: skip
def test_a_pg_dump_without_names_of_methods(
    wanted: str, argument: str | None, is_supported: bool
) -> None:
    old = programs.ClientPrograms(Path("/usr/lib/postgresql/15/bin"), (15, 4))
    compression = programs.parse_compression(wanted)
    assert compression.is_supported_by(old) is is_supported
    if argument:
        assert compression.argument_for(old) == argument
    assert str(programs.default_compression(old)) == "gzip:6"


def test_no_pg_dump_with_the_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", "exit 1", lacks="lz4")
    only = programs.ClientPrograms(tmp_path / "bin", (18, 0))
    monkeypatch.setattr(programs, "installed_programs", lambda _path: (only,))
    with pytest.raises(ClientProgramError) as caught:
        programs.programs_for_server(160004, programs.parse_compression("lz4"))
    assert "no installed pg_dump can compress with lz4" in caught.value.what
    assert "--compress gzip:6" in caught.value.next_step


@pytest.mark.parametrize(
    ("head", "method"),
    [
        (b"PGDMP\x01\x10\x00\x04\x08\x01\x03", "zstd"),
        (b"PGDMP\x01\x0f\x00\x04\x08\x01\x02", "lz4"),
        (b"PGDMP\x01\x10\x00\x04\x08\x01\x01", "gzip"),
        (b"PGDMP\x01\x0e\x00\x04\x08\x01\x00\x06\x00\x00\x00", "gzip"),
        (b"PGDMP\x01\x0e\x00\x04\x08\x01\x01\x01\x00\x00\x00", "gzip"),
        (b"PGDMP\x01\x0e\x00\x04\x08\x01\x00\x00\x00\x00\x00", "none"),
        (b"PGDMP\x01\x10\x00\x04\x08\x01\x63", None),
        (b"SQL", None),
    ],
)
def test_the_method_that_an_archive_names(head: bytes, method: str | None) -> None:
    assert archive_compression(head.ljust(20, b"\x00") if len(head) > 5 else head) == method


def test_retention_removes_only_its_own(sample_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = sample_database()
    source = make_dump(conninfo, tmp_path).path
    ours = [
        tmp_path / make_name(Purpose.BACKUP, datetime(2024, 1, day, tzinfo=UTC))
        for day in range(1, 6)
    ]
    for file in ours:
        file.write_bytes(source.read_bytes())
    kept = {
        # Aperture's own, one of ours that somebody renamed, one cut short, and what restore saved.
        "aperture_backup_2023-01-01_00-00-00.dump": run_pg_dump(
            conninfo, tmp_path / "x", "-F", "c"
        ).read_bytes(),
        "aperture_backup_2023-01-02_00-00-00.sql.gz": b"\x1f\x8b",
        "aperture_backup_2023-01-03_00-00-00_keep.dump": source.read_bytes(),
        "aperture_backup_2023-01-04_00-00-00.dump": source.read_bytes()[:-1],
        "aperture_before_restore_2023-01-05_00-00-00.dump": source.read_bytes(),
        "notes.txt": b"",
    }
    (tmp_path / "x").unlink()
    source.unlink()
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)

    outcome = backup(conninfo, "--dir", str(tmp_path), "--keep", "3", "--json")

    assert outcome.code == 0, outcome.err
    data = outcome.envelope["data"]
    assert sorted(data["pruned"]) == [str(file) for file in ours[:3]]
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {*kept, ours[3].name, ours[4].name, Path(data["backup"]["path"]).name}


def test_keep_one_keeps_the_new_one_whatever_the_clock_said(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    future = tmp_path / make_name(Purpose.BACKUP, datetime(2999, 1, 1, tzinfo=UTC))
    make_dump(conninfo, tmp_path).path.rename(future)

    outcome = backup(conninfo, "--dir", str(tmp_path), "--keep", "1", "--json")

    made = Path(outcome.envelope["data"]["backup"]["path"])
    assert list(tmp_path.iterdir()) == [made]


def test_keep_zero_is_refused(aperture_database: NewDatabase, tmp_path: Path) -> None:
    outcome = backup(aperture_database(), "--dir", str(tmp_path), "--keep", "0")
    assert outcome.code == 2
    assert not list(tmp_path.iterdir())


def test_backups_of_one_second_get_different_names(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    paths = {make_dump(conninfo, tmp_path).path for _ in range(4)}
    assert len(paths) == 4
    assert all(NAMED.fullmatch(path.name) and LISTED.fullmatch(path.name) for path in paths)


def test_two_at_once(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    both = [start_program("backup", "--dir", str(tmp_path), conninfo=conninfo) for _ in range(2)]
    assert [finish(process).code for process in both] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_database_with_an_odd_name(
    aperture_database: NewDatabase, admin_conninfo: str, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    name = f"{conninfo_to_dict(conninfo)['dbname']} = 'odd' \"name\" ?"
    old = sql.Identifier(str(conninfo_to_dict(conninfo)["dbname"]))
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        admin.execute(rename.format(old, sql.Identifier(name)))
        outcome = backup(make_conninfo(conninfo, dbname=name), "--dir", str(tmp_path))
        admin.execute(rename.format(sql.Identifier(name), old))
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    "number", [errno.EPERM, errno.EXDEV, errno.EACCES, errno.EOPNOTSUPP], ids=errno.errorcode.get
)
def test_a_directory_without_hard_links(
    number: int,
    aperture_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FAT has none, and network shares refuse some of them; there the file is renamed."""

    def refuse(*_: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    path = make_dump(aperture_database(), tmp_path).path
    assert list(tmp_path.iterdir()) == [path]


def test_choose_expired_counts_only_whole_ones_of_ours() -> None:
    def listed(
        day: int, state: BackupState = BackupState.COMPLETE, *, own: bool = True
    ) -> ListedBackup:
        made_at = datetime(2024, 1, day, tzinfo=UTC)
        return ListedBackup(
            Path(f"/{day}"), Purpose.BACKUP, made_at, 1, "zstd", state, has_own_name=own
        )

    backups = [
        listed(1),
        listed(2),
        listed(3, BackupState.DAMAGED),
        listed(4, own=False),
        listed(5),
        listed(6),
    ]
    retention = choose_expired(backups, 3, Path("/6"))
    assert [each.path.name for each in retention.expired] == ["1"]
    assert retention.spared is None


def test_backups_of_a_database_without_its_rows_do_not_push_out_the_last_that_has_them(
    sample_database: NewDatabase, aperture_database: NewDatabase, tmp_path: Path
) -> None:
    full, emptied = sample_database(), aperture_database()
    good = make_dump(full, tmp_path).path
    older = tmp_path / "aperture_backup_2024-01-01_00-00-00.dump"
    older.write_bytes(good.read_bytes())
    for _ in range(3):
        outcome = backup(emptied, "--dir", str(tmp_path), "--keep", "2", "-q")
        assert outcome.code == 0, outcome.err
    assert good.exists()
    assert not older.exists()
    assert len(list(tmp_path.iterdir())) == 3
    assert f"much smaller than {good.name}, which is not deleted" in outcome.err
    outcome = backup(full, "--dir", str(tmp_path), "--keep", "2", "--json")
    assert outcome.envelope["data"]["spared"] is None
    assert not good.exists()


def test_a_backup_of_another_database_deletes_none(
    sample_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    good = make_dump(sample_database(), tmp_path).path
    outcome = backup(new_database(), "--dir", str(tmp_path), "--keep", "1", "-q")
    assert outcome.code == 0, outcome.err
    assert "has no record of Aperture's migrations" in outcome.err
    assert good.exists()


@pytest.mark.parametrize("path", ["", "backups"])
def test_a_relative_path_in_apertures_settings_is_refused(
    path: str, aperture_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backups").mkdir()
    monkeypatch.chdir(tmp_path)
    conninfo = aperture_database()
    execute(conninfo, f"UPDATE backup_config SET backup_path = '{path}'")
    outcome = backup(conninfo)
    assert outcome.code == 1
    assert "is not an absolute path" in outcome.err
    assert list(tmp_path.rglob("*.dump")) == []


def test_a_backup_without_any_standard_stream(sample_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = sample_database()
    words = [*COMMAND, "backup", "--dir", str(tmp_path), "--database-url", conninfo]
    script = f"{shlex.join(words)} <&- >&- 2>&-"
    done = subprocess.run(["/bin/sh", "-c", script], check=False, env=environment(None, **PLACES))
    assert done.returncode == 0
    (file,) = tmp_path.iterdir()
    assert run_inside("backup", "--verify", str(file), database=conninfo).code == 0
