"""Programs that stand in for pg_dump, to fail where the real one hardly ever does."""

from __future__ import annotations

from pathlib import Path

from aperture_db.dumps.programs import NO_SERVER, newest_programs

# Found before the real programs of the same major version, being the oldest of them.
VERSION = "18.0"


def stand_in(directory: Path, script: str, *, lacks: str = "none of them") -> str:
    """Put a shell script in pg_dump's place; returns the PATH that finds it.

    `$REAL` is the real pg_dump, `$FILE` the file it was told to write. `lacks` is a compression
    method that it says it was built without.
    """
    real = newest_programs()
    directory.mkdir(exist_ok=True)
    program = directory / "pg_dump"
    program.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = --version ]; then echo "pg_dump (PostgreSQL) {VERSION}"; exit; fi\n'
        f"REAL={real.pg_dump}\n"
        f'case "$*" in *"--compress={lacks}"*"{NO_SERVER}"*) echo "pg_dump: error: this build does '
        f'not support compression with {lacks}" >&2; exit 1;; *"{NO_SERVER}"*) exec "$REAL" "$@";; '
        "esac\n"
        'for word in "$@"; do case "$word" in --file=*) FILE="${word#--file=}";; esac; done\n'
        f"{script}\n"
    )
    program.chmod(0o755)
    (directory / "pg_restore").symlink_to(real.pg_restore)
    return f"{directory}:/usr/bin:/bin"
