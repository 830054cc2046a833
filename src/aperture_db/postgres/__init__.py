"""PostgreSQL: connecting, the catalogs, activity, privileges, hosting, the embedded server."""
