"""Deletes exactly what was shown: films, series, all content, watch history, ratings, everything.

`scopes` knows what each option takes, resets and keeps; `selection` follows the foreign keys from
there; `plan` counts; `execute` and `rebuild` act in one transaction; `verify` holds them to it.
"""
