-- When a rating last changed is for its writer to say: no trigger sets the time any more, and times
-- later than a rating's creation go back to that.

-- Dropped first, because it would set the time in the update below as well.
DROP TRIGGER IF EXISTS trigger_user_ratings_updated_at ON user_ratings;

UPDATE user_ratings
SET updated_at = created_at
WHERE updated_at > created_at;
