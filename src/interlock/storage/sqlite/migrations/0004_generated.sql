-- How a provider was asked for a draft's content, and what is known of its answer: canonical JSON.
ALTER TABLE draft ADD COLUMN generated TEXT;
