-- For a ledger from before it was pruned, and from before it knew what was sent under a key.
ALTER TABLE eventtracker.CountedBatch
    ADD KEY IF NOT EXISTS countedAt (countedAt),
    ADD COLUMN IF NOT EXISTS content BIGINT UNSIGNED NULL
