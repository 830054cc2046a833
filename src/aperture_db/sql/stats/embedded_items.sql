-- Items that have an embedding of these models. Privilege: SELECT on the table.
SELECT {item_column} AS id FROM {table} WHERE model = ANY ({models})
