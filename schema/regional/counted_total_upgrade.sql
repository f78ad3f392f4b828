-- For a total from before its flushes were numbered.
ALTER TABLE eventtracker.CountedTotal ADD COLUMN IF NOT EXISTS flushes BIGINT UNSIGNED NOT NULL DEFAULT 0
