-- Ratings of films may go up to 100, as the scores of critics do.

ALTER TABLE movies
    ALTER COLUMN community_rating TYPE numeric(5,2),
    ALTER COLUMN critic_rating TYPE numeric(5,2);
