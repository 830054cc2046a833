-- Of days longer ago than 90, only the last sample stays, so that hourly samples don't pile up.
-- Privilege: SELECT and DELETE on aperture_db.samples.
DELETE FROM aperture_db.samples AS old
USING aperture_db.samples AS later
WHERE old.sampled_at < date_trunc('day', now(), 'UTC') - interval '90 days'
    AND later.sampled_at > old.sampled_at
    AND date_trunc('day', later.sampled_at, 'UTC') = date_trunc('day', old.sampled_at, 'UTC')
