-- Rows of a cache that were not refreshed for a long time; what is still wanted is fetched again.
-- Privilege: SELECT on the table.
SELECT {columns}
FROM {table} AS doomed
WHERE doomed.{refreshed_at} < now() - make_interval(secs => %(cache_age_seconds)s)
