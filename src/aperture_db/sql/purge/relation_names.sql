-- The names of tables and sequences of the schema that is created in. Privilege: none.
SELECT relname::text
FROM pg_class
WHERE relnamespace = to_regnamespace(current_schema()) AND relkind IN ('r', 'p', 'S')
