"""Dump files of PostgreSQL: the client programs that write and read them, and what is inside.

Knows of Aperture only how it names its files. `backup` makes dumps, `restore` applies them.
"""
