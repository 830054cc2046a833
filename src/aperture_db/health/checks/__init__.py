"""The checks, in modules by area."""
