"""Ends of the tool, of its server and of what it needs, made for real."""
