-- Whether samples were ever recorded here. Privilege: none.
SELECT EXISTS (
    SELECT
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = 'aperture_db' AND c.relname = 'samples'
)
