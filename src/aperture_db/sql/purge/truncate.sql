-- Empty whole tables; all that refer to one of them are among them.
-- Privilege: TRUNCATE on each.
TRUNCATE {tables}
