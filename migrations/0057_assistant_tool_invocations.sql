-- The tools that the assistant called for a message, with their results.

ALTER TABLE assistant_messages
    ADD COLUMN tool_invocations jsonb;
