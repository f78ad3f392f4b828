-- How far each region's database clock is ahead of this centre's (behind: negative), as the keeper measured it last, and
-- the most it was ahead while claims that are still under way were made: what the API takes off a region's clock. A peak that
-- rises would take back what was said already: until saidUntil, by this centre's clock, the region was said to be complete.
CREATE TABLE IF NOT EXISTS eventtracker.ClockOffset (
    region     VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    aheadMs    BIGINT       NOT NULL,
    peakMs     BIGINT       NOT NULL,
    peakAt     TIMESTAMP(3) NOT NULL,
    measuredAt TIMESTAMP(3) NOT NULL,
    saidUntil  TIMESTAMP(3) NULL,
    PRIMARY KEY (region)
) ENGINE=InnoDB
