-- For a table from before it was noted what had been said of a region.
ALTER TABLE eventtracker.ClockOffset
    ADD COLUMN IF NOT EXISTS saidUntil TIMESTAMP(3) NULL
