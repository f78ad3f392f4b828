-- Below which number no job of a beanstalkd process is left, as one worker found out and all others start from; one row.
-- Written with each flush by the workers, read when one of them connects.
CREATE TABLE IF NOT EXISTS eventtracker.TubeMark (
    id      TINYINT UNSIGNED NOT NULL,
    process VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    lowest  BIGINT UNSIGNED  NOT NULL,
    PRIMARY KEY (id)
) ENGINE=InnoDB
