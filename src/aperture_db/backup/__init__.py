"""Backups: made by pg_dump, verified, and listed together with Aperture's own."""
