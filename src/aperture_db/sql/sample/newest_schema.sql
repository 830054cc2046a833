-- Purpose: whether the tables are there with the column that the newest migration added.
-- Privilege: none.
SELECT EXISTS (
    SELECT
    FROM pg_attribute
    WHERE attrelid = to_regclass('watch_history')
        AND attname = 'playback_position_ticks'
        AND NOT attisdropped
)
