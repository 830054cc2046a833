"""Tests of check-extensions, and of what others ask about extensions."""
