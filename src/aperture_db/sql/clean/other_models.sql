-- Embeddings of other models than those that Aperture reads from this table.
-- Privilege: SELECT on the table.
SELECT {columns}
FROM {table} AS doomed
WHERE doomed.model <> ALL ({models})
