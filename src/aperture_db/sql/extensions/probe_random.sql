-- Purpose: functions of pgcrypto, whose results are known.
-- Privilege: none.
SELECT gen_random_uuid(), gen_random_uuid(), encode(digest('aperture', 'sha256'), 'hex')
