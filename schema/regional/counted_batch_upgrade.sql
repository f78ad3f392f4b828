-- For a ledger from before it was pruned.
ALTER TABLE eventtracker.CountedBatch ADD KEY IF NOT EXISTS countedAt (countedAt)
