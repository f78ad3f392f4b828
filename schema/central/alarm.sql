-- What an operator should look at now, one plain sentence for each kind of trouble in each region ('' for the centre itself).
-- Written and removed by the keeper, read by the API.
CREATE TABLE IF NOT EXISTS eventtracker.Alarm (
    region   VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    kind     VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    sentence VARCHAR(1000) CHARACTER SET utf8mb4 NOT NULL,
    since    TIMESTAMP(3) NOT NULL,
    PRIMARY KEY (region, kind)
) ENGINE=InnoDB
