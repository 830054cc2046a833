"""Puts a dump in the place of what the database holds, in one transaction that is compared with
the dump before it commits."""
