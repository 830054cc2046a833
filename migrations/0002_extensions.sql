-- Vectors for the embeddings of films and series, and cryptographic functions.

CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
