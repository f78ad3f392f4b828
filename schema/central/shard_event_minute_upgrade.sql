-- Earlier versions compressed its pages. Asked first, since each change of the row format writes the table anew; keys are
-- made again because they would keep their own KEY_BLOCK_SIZE.
BEGIN NOT ATOMIC
    IF EXISTS (
        SELECT 1 FROM information_schema.TABLES
        WHERE TABLE_SCHEMA = 'bigdata_{shard}' AND TABLE_NAME = 'EventMinute' AND ROW_FORMAT = 'Compressed'
    ) THEN
        ALTER TABLE bigdata_{shard}.EventMinute
            DROP PRIMARY KEY, ADD PRIMARY KEY (eventId, createDate), ROW_FORMAT=DYNAMIC KEY_BLOCK_SIZE=0;
    END IF;
END
