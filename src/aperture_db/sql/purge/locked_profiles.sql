-- Taste profiles that users have locked and that hold something. Privilege: SELECT on the table.
SELECT count(*) FROM {table} WHERE is_locked AND embedding IS NOT NULL AND {in_scope}
