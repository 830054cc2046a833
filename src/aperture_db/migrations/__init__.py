"""Brings Aperture's schema up to date from a directory of plain SQL files.

Tracking is Aperture's own table `aperture_migrations`, so that the app and this tool skip what
the other applied. Each file and its record share one transaction.
"""
