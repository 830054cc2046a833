-- Errors of external services that were dismissed a week ago (Aperture's own rule), or are old.
-- Privilege: SELECT on api_errors.
SELECT {columns}
FROM api_errors AS doomed
WHERE doomed.dismissed_at < now() - interval '7 days'
    OR doomed.created_at < now() - make_interval(secs => %(error_age_seconds)s)
