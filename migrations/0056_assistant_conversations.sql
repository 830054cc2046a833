-- Chats of users with the assistant.

CREATE TABLE assistant_conversations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title text NOT NULL DEFAULT 'New Chat',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_assistant_conversations_updated_at
    ON assistant_conversations (user_id, updated_at DESC);
CREATE INDEX idx_assistant_conversations_user_id ON assistant_conversations (user_id);

CREATE TABLE assistant_messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    conversation_id uuid NOT NULL REFERENCES assistant_conversations (id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
    content text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_assistant_messages_conversation_id ON assistant_messages (conversation_id);
CREATE INDEX idx_assistant_messages_created_at ON assistant_messages (conversation_id, created_at);
