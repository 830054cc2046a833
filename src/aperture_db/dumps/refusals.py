"""The errors for files that are no dump, or none that can be restored, each with the way out."""

from __future__ import annotations

from pathlib import Path

from aperture_db.dumps import BrokenDumpError, DumpFormat, NotUnderstoodError, Packer
from aperture_db.errors import UsageError
from aperture_db.format import shell_command
from aperture_db.safe_files import HeldFile


def _list_backups(path: Path) -> str:
    return shell_command("aperture-db", "backup", "--list", "--dir", path.parent)


def broken(path: Path, why: str) -> BrokenDumpError:
    """The error for a damaged or incomplete file."""
    return BrokenDumpError(
        f"{path} is damaged or incomplete",
        why=why,
        next_step=f"choose another dump: {_list_backups(path)}",
    )


def too_large(path: Path, why: str) -> NotUnderstoodError:
    """The error for a script of a size that is not read."""
    return NotUnderstoodError(
        f"{path} is too large to be verified",
        why=why,
        next_step="dump the database again with pg_dump -Fc, or with aperture-db backup",
    )


def not_usable(
    path: Path, why: str, *, next_step: str = "", code: str = "not_a_dump"
) -> UsageError:
    """The error for a file that cannot be restored although it may be undamaged. `next_step` is
    the command that makes it usable, where there is one."""
    return UsageError(
        f"{path} is not a dump that can be restored",
        why=why,
        next_step=next_step
        or f"choose a dump made by aperture-db backup or by Aperture: {_list_backups(path)}",
        code=code,
    )


def cluster_dump(path: Path, packer: Packer | None) -> UsageError:
    """The error for a script of pg_dumpall, in which the databases follow each other."""
    part = "/^\\\\connect aperture/,/^-- PostgreSQL database dump complete/p"
    script = shell_command(free_name(path.with_name("aperture.sql")))
    return not_usable(
        path,
        "it is a dump of a whole cluster (pg_dumpall)",
        next_step="extract Aperture's database (here: aperture), then restore that: "
        f"{reading(f'sed -n {shell_command(part)}', path, packer)} > {script}",
    )


def reading(command: str, path: Path, packer: Packer | None) -> str:
    """A command that reads the file, decompressed."""
    name = shell_command(path)
    return f"{packer.program} -dc {name} | {command}" if packer else f"{command} {name}"


def free_name(path: Path) -> Path:
    """The name, or one like it that nothing has: what people paste must overwrite nothing."""
    names = (path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, 100)))
    return next((name for name in names if not name.exists()), path.with_stem(f"{path.stem}-new"))


# The beginnings of encrypted files; of OpenPGP's packets those for a public key, a passphrase, and
# what was signed or encrypted without either.
ENCRYPTED = (
    ("gpg", (b"-----BEGIN PGP MESSAGE", b"\x84\x5e", b"\x85\x01", b"\x85\x02", b"\x85\x03",
             b"\x85\x04", b"\x8c\x0d", b"\xc1", b"\xc3\x0d"), "gpg -d"),
    ("age", (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE"), "age -d -i KEY_FILE"),
    ("openssl", (b"Salted__", b"U2FsdGVkX1"), "openssl enc -d -aes-256-cbc -pbkdf2 -in"),
)  # fmt: skip
OTHER_FILES = {
    "a SQLite database": (b"SQLite format 3",),
    "a program": (b"\x7fELF", b"MZ", b"#!"),
    "a dump of MySQL or MariaDB": (b"-- MySQL dump", b"-- MariaDB dump", b"/*M!", b"/*!4"),
    "a PDF document": (b"%PDF",),
    "a web page": (b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML"),
    "a JSON file": (b"{", b"["),
}


def refuse_other(path: Path, head: bytes, packer: Packer | None = None) -> None:
    """Raise UsageError for files that people mistake for a dump, with the way out."""
    name = shell_command(path)
    if head[257:262] == b"ustar" and head.startswith(b"toc.dat\0"):
        raise not_usable(
            path, "it is a tar archive of pg_dump (-F t)", next_step=to_script(path, packer)
        )
    if head[257:262] == b"ustar":
        raise not_usable(
            path, "it is a tar archive", next_step=f"restore a file of it: tar -xf {name}"
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        command = reading("iconv -f UTF-16 -t UTF-8", path, packer)
        raise not_usable(
            path,
            "it is UTF-16 text, as PowerShell writes it with >",
            next_step="convert it, then restore the result (pg_dump -f avoids it): "
            f"{command} > {shell_command(free_name(path.with_suffix('.utf8.sql')))}",
        )
    if head.startswith(b"PK\x03\x04"):
        raise not_usable(path, "it is a zip archive", next_step=f"unzip {name}")
    for program, beginnings, command in ENCRYPTED:
        if head.startswith(beginnings):
            plain = shell_command(free_name(path.with_suffix(".dump")))
            raise not_usable(
                path,
                f"it is encrypted with {program}",
                next_step=f"decrypt it, then restore the result: {command} {name} > {plain}",
            )
    for what, first_bytes in OTHER_FILES.items():
        if head.startswith(first_bytes):
            raise not_usable(path, f"it is {what}")
    # Text of any encoding has none of these; what is compressed or encrypted has them at once.
    if b"\0" in head:
        raise not_usable(path, "it is a binary file of a kind that is not known")


def to_script(path: Path, packer: Packer | None = None) -> str:
    script = shell_command(free_name(path.with_suffix(".sql")))
    command = reading(f"pg_restore -f {script}", path, packer)
    return f"make a script of it, then restore that: {command}"


def missing(path: Path) -> UsageError:
    return UsageError(
        f"{path} does not exist",
        why="there is no such file",
        next_step=f"list the backups: {_list_backups(path)}",
        code="no_such_file",
    )


def not_understood(
    file: HeldFile, format_: DumpFormat, why: str, line_number: int
) -> NotUnderstoodError:
    """The error for a statement that pg_dump does not write."""
    show = f"sed -n {line_number}p"
    if format_.is_archive:
        command = f"{reading('pg_restore -f -', file.path, format_.packer)} | {show}"
    else:
        command = reading(show, file.path, format_.packer)
    return NotUnderstoodError(
        f"{file.path} contains SQL that is not part of a dump",
        why=f"{why}; the SQL of a dump runs with your privileges, so nothing else is run",
        next_step=f"look at it: {command}",
    )
