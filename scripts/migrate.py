#!/usr/bin/env python3
"""Runs `aperture-db migrate` from a checkout: `python scripts/migrate.py [--status]`.

Takes every option of the command; the database is named by DATABASE_URL.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from aperture_db.cli.app import run_program

if __name__ == "__main__":
    sys.exit(run_program(["migrate", *sys.argv[1:]]))
