"""Dump files of PostgreSQL: their contents, and the client programs that write and read them.

`backup` makes dumps, `restore` applies them.
"""
