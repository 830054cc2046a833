"""The report on a database, fit to be shown to strangers."""
