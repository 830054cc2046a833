"""PostgreSQL: connecting, the catalog, activity, privileges, hosting, the embedded server."""
