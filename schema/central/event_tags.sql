-- Every name with its eventId and how often it was counted. Written by replication, read by the search of the API.
-- The prefix of 25 characters keeps the first key small; eventId alone is all but unique already. The second finds a name, and all that begin
-- alike, however far they do. Pages are not compressed: a new name then costs replication half as much.
CREATE TABLE IF NOT EXISTS bigdata_0.EventTags (
    eventId    BIGINT UNSIGNED                                NOT NULL,
    tagName    VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    popularity BIGINT UNSIGNED                                NOT NULL,
    PRIMARY KEY (eventId, tagName(25)),
    KEY wholeName (tagName)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC
