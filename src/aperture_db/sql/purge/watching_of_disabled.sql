-- Series that users watch whose list no job fetches again. Privilege: SELECT on both tables.
SELECT count(*)
FROM {watching} AS w
JOIN {users} AS u ON u.id = w.user_id
WHERE NOT u.is_enabled
