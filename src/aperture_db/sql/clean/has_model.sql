-- Whether a table holds embeddings of these models. Privilege: SELECT on the table.
SELECT EXISTS (SELECT FROM {table} WHERE model = ANY (%(models)s))
