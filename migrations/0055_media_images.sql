-- Pictures that admins and users upload for libraries, collections and playlists.

CREATE TABLE media_images (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    entity_type text NOT NULL CHECK (entity_type IN ('library', 'collection', 'playlist')),
    entity_id text NOT NULL,
    image_type text NOT NULL DEFAULT 'Primary',
    is_default boolean NOT NULL DEFAULT false,
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    file_path text NOT NULL,
    original_filename text,
    mime_type text NOT NULL,
    width integer,
    height integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_media_images_default
    ON media_images (entity_type, entity_id, is_default) WHERE is_default = true;
CREATE INDEX idx_media_images_entity ON media_images (entity_type, entity_id);
CREATE UNIQUE INDEX idx_media_images_unique_default
    ON media_images (entity_type, entity_id, image_type) WHERE is_default = true;
CREATE UNIQUE INDEX idx_media_images_unique_user
    ON media_images (entity_type, entity_id, image_type, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX idx_media_images_user ON media_images (user_id) WHERE user_id IS NOT NULL;
CREATE TRIGGER trigger_media_images_updated_at
    BEFORE UPDATE ON media_images
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
