"""The rows of the tables, a module per subject."""
