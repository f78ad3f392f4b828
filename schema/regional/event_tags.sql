-- The outbox for names, written by the workers in the transaction of a name's first counts, and about once a minute with
-- what its popularity has grown by.
CREATE TABLE IF NOT EXISTS bigdata_0.EventTags (
    eventId    BIGINT UNSIGNED                                NOT NULL,
    tagName    VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    popularity BIGINT UNSIGNED                                NOT NULL,
    PRIMARY KEY (eventId, tagName(25)),
    KEY eventTag (tagName(25))
) ENGINE=BLACKHOLE
