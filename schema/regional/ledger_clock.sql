-- The clock that the ledger's rows are stamped and pruned by. Each flush lets it go on by what has passed since the one before, by
-- this server's clock or by the worker's own monotonic clock, whichever is less: it never goes back, and a step of the server's
-- clock does not make it run ahead. It stands still while no worker runs.
-- Written by workers; not replicated anywhere.
CREATE TABLE IF NOT EXISTS eventtracker.LedgerClock (
    id      TINYINT UNSIGNED NOT NULL,
    reached TIMESTAMP(3)     NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    -- By the server's clock, when it was last let go on.
    seenAt  TIMESTAMP(3)     NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    PRIMARY KEY (id)
) ENGINE=InnoDB
