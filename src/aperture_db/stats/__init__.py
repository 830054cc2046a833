"""Counts and sizes of the database, and what is missing from the library."""
