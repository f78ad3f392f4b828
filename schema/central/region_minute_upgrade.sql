-- Earlier versions compressed its pages. Asked first, since each change of the row format writes the table anew; the key is
-- made again because it would keep its own KEY_BLOCK_SIZE.
BEGIN NOT ATOMIC
    IF EXISTS (
        SELECT 1 FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = 'bigdata_0' AND TABLE_NAME = 'RegionMinute' AND ROW_FORMAT = 'Compressed'
    ) THEN
        ALTER TABLE bigdata_0.RegionMinute
            DROP PRIMARY KEY, ADD PRIMARY KEY (region, createDate), ROW_FORMAT=DYNAMIC KEY_BLOCK_SIZE=0;
    END IF;
END
