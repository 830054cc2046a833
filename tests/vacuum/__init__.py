"""Tests of vacuum."""
