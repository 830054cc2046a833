-- Each user's taste, for films and series apart, with what shapes it: favourite franchises, weights
-- of genres, and interests in the user's own words.

CREATE TABLE user_taste_profiles (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    media_type text NOT NULL CHECK (media_type IN ('movie', 'series')),
    embedding halfvec(3072),
    embedding_model text,
    auto_updated_at timestamptz,
    user_modified_at timestamptz,
    is_locked boolean DEFAULT false,
    refresh_interval_days integer DEFAULT 30,
    created_at timestamptz DEFAULT now(),
    UNIQUE (user_id, media_type)
);
CREATE INDEX idx_user_taste_profiles_user_id ON user_taste_profiles (user_id);
CREATE INDEX idx_user_taste_profiles_stale
    ON user_taste_profiles (user_id, media_type, auto_updated_at);

CREATE TABLE user_franchise_preferences (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    franchise_name text NOT NULL,
    media_type text NOT NULL CHECK (media_type IN ('movie', 'series', 'both')),
    preference_score numeric DEFAULT 0,
    is_user_set boolean DEFAULT false,
    items_watched integer DEFAULT 0,
    total_engagement integer DEFAULT 0,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    UNIQUE (user_id, franchise_name, media_type)
);
CREATE INDEX idx_user_franchise_preferences_user_id ON user_franchise_preferences (user_id);
CREATE INDEX idx_user_franchise_preferences_franchise
    ON user_franchise_preferences (franchise_name);
CREATE TRIGGER trigger_user_franchise_preferences_updated_at
    BEFORE UPDATE ON user_franchise_preferences
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE user_genre_weights (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    genre text NOT NULL,
    weight numeric DEFAULT 1.0,
    is_user_set boolean DEFAULT false,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    UNIQUE (user_id, genre)
);
CREATE INDEX idx_user_genre_weights_user_id ON user_genre_weights (user_id);
CREATE TRIGGER trigger_user_genre_weights_updated_at
    BEFORE UPDATE ON user_genre_weights
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE user_custom_interests (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    interest_text text NOT NULL,
    embedding halfvec(3072),
    embedding_model text,
    weight numeric DEFAULT 1.0,
    created_at timestamptz DEFAULT now()
);
CREATE INDEX idx_user_custom_interests_user_id ON user_custom_interests (user_id);
