-- How far a user has got with a title, so that one begun but not finished can be told from one
-- that was played.

ALTER TABLE watch_history
    ADD COLUMN IF NOT EXISTS played boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS playback_position_ticks bigint,
    ADD COLUMN IF NOT EXISTS runtime_ticks bigint;

-- Entries without a play are favourites only.
UPDATE watch_history
SET played = true
WHERE play_count > 0
   OR last_played_at IS NOT NULL;

CREATE INDEX idx_watch_history_excludable ON watch_history (user_id, media_type)
    WHERE played = true
       OR (playback_position_ticks IS NOT NULL AND playback_position_ticks > 0);
