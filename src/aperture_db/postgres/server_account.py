"""Accounts of the embedded server: PostgreSQL refuses to run as root, so root's server runs as
another account, which must not be able to change what root executes or writes."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from aperture_db.errors import UsageError

# Not the account of a real PostgreSQL server first: a superuser of the demo can read the files
# that its account may read.
ACCOUNTS = ("nobody", "postgres")


def server_account() -> pwd.struct_passwd | None:
    """The account that runs root's server; None for other users, who run it themselves.

    Raises UsageError where there is no account that PostgreSQL would run as.
    """
    if os.geteuid() != 0:
        _require_known_account(os.geteuid())
        return None
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise UsageError(
        "the embedded server can't run as root",
        why="PostgreSQL refuses to, and this machine has no account `nobody` or `postgres`",
        next_step="run the command as an ordinary user",
        code="unknown_account",
    )


def _require_known_account(user_id: int) -> None:
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        raise UsageError(
            "the embedded server can't run as this user",
            why=f"PostgreSQL needs a name for the user, and the machine has none for {user_id}",
            next_step="run the command as a user that /etc/passwd knows, or as root",
            code="unknown_account",
        ) from None


def give_to_server_account(path: Path | int) -> None:
    """Make the server's account the owner; does nothing where the user runs the server."""
    if account := server_account():
        os.chown(path, account.pw_uid, account.pw_gid)


def run_as_server_account(
    command: Sequence[str | Path],
    programs: Path,
    inherited: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program of the server; its output, errors included, is in `stdout`.

    `programs` is the directory of the server's programs, `inherited` are file descriptors that
    the program gets too.
    """
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(programs),
        "LC_ALL": "C",
        # The bundled ICU lies beside the programs and is not on their run path.
        "LD_LIBRARY_PATH": str(programs.parent / "lib"),
    }
    account = server_account()
    # A regular file, not a pipe: the server inherits it and would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        done = subprocess.run(
            [str(word) for word in command],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            pass_fds=inherited,
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, stdout=output.read())


def foreign_part(path: Path) -> Path | None:
    """The first directory or link on the way to `path`, or `path` itself, that an account other
    than root and the caller may change. Sticky directories protect what is in them."""
    for part in _parts(path):
        if any(_is_foreign(status, sticky_protects=True) for status in (part.lstat(), part.stat())):
            return part
    return None


def foreign_entry(directory: Path) -> Path | None:
    """A file or directory below `directory` that an account other than root and the caller may
    change."""
    for root, directories, files in os.walk(directory):
        for name in (*directories, *files):
            entry = Path(root, name)
            if _is_foreign(entry.lstat()):
                return entry
    return None


def _parts(path: Path) -> Iterator[Path]:
    """The directories and links that lead to `path`, and `path`; of links also their targets'."""
    path.resolve(strict=True)  # an error for links in a circle
    for part in (*reversed(path.parents), path):
        yield part
        if part.is_symlink():
            yield from _parts(part.parent / part.readlink())


def _is_foreign(status: os.stat_result, *, sticky_protects: bool = False) -> bool:
    if status.st_uid not in (0, os.geteuid()):
        return True
    if stat.S_ISLNK(status.st_mode) or (sticky_protects and status.st_mode & stat.S_ISVTX):
        return False
    if status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid):
        return True
    return bool(status.st_mode & stat.S_IWOTH)


def _is_private_group(group_id: int) -> bool:
    """Tell whether the group has the calling user's name and no other members, as most systems
    set up users."""
    with contextlib.suppress(KeyError):
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(group_id)
        return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
    return False


def make_enterable_directory(path: Path) -> None:
    """Make `path`, parents included, so that the server's account can enter it.

    Raises UsageError where that is impossible, such as below root's home.
    """
    try:
        missing = [part for part in (path, *path.parents) if not part.exists()]
        for part in reversed(missing):
            part.mkdir(mode=0o755, exist_ok=True)
            if server_account():
                # Whatever the umask is; only the data directories in it are private.
                part.chmod(0o755)
        _require_enterable(path)
    except OSError as error:
        raise UsageError(
            f"{path} can't be used for the embedded server",
            why=str(error.strerror),
            next_step="export APERTURE_DB_HOME=/path/to/a/directory/that/you/may/write/to",
            code="bad_home",
        ) from error


def _require_enterable(path: Path) -> None:
    account = server_account()
    if account is None:
        return
    for part in (path, *path.parents):
        status = part.stat()
        needed = stat.S_IXOTH
        if status.st_uid == account.pw_uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.pw_gid:
            needed = stat.S_IXGRP
        if not status.st_mode & needed:
            raise UsageError(
                f"{path} can't be used for the embedded server",
                why=f"root's server runs as the account {account.pw_name}, which may not enter "
                f"{part}",
                next_step="unset APERTURE_DB_HOME to use /var/lib/aperture-db, or name a "
                "directory that every account may enter",
                code="bad_home",
            )
