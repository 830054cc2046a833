"""Backups: made by pg_dump, read back before they count, listed beside Aperture's own."""
