"""VACUUM, table by table, with true progress and every skipped table named."""

from aperture_db.vacuum.plan import plan
from aperture_db.vacuum.run import vacuum_tables

__all__ = ["plan", "vacuum_tables"]
