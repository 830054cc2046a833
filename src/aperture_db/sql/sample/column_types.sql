-- Purpose: the types of a table's columns by name, for COPY in binary.
-- Privilege: none.
SELECT attname, atttypid
FROM pg_attribute
WHERE attrelid = to_regclass(quote_ident(%(table)s))
    AND attnum > 0
    AND NOT attisdropped
