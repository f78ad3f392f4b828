-- A ledger of an earlier version was stamped by the server's clock.
INSERT IGNORE INTO eventtracker.LedgerClock (id, reached, seenAt)
SELECT 1, COALESCE(MAX(countedAt), CURRENT_TIMESTAMP(3)), CURRENT_TIMESTAMP(3) FROM eventtracker.CountedBatch
