-- Whether autovacuum works: its switch, the counting that it needs, and the tables that it has to
-- leave alone. Privilege: none.
SELECT
    current_setting('autovacuum') = 'on' AS is_on,
    current_setting('track_counts') = 'on' AS is_counting,
    ARRAY(
        SELECT c.oid::regclass::text
        FROM pg_class AS c, pg_options_to_table(c.reloptions) AS o
        WHERE c.relkind IN ('r', 'm')
            AND o.option_name = 'autovacuum_enabled'
            AND NOT o.option_value::boolean
        ORDER BY 1
    ) AS excluded_tables
