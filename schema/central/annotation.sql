-- Deployments and other marks on every graph. Written by the api, read by it and by analysts; tags are separated by blanks. No part of
-- the counts: it is at each centre what the api wrote there. InnoDB, since a mark that was acknowledged must not be lost; by its id, so
-- that a mark written again is there once; the key finds those of a time. Who wrote it, by the name of the token, is invisible to those
-- who do not ask: it says who may remove it.
CREATE TABLE IF NOT EXISTS eventtracker.Annotation (
    id       UUID         NOT NULL,
    happened TIMESTAMP(3) NOT NULL,
    ended    TIMESTAMP(3) NULL,
    what     VARCHAR(255)  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    data     VARCHAR(2000) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    tags     VARCHAR(1020) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    client   VARCHAR(64)   CHARACTER SET ascii   COLLATE ascii_bin   NULL INVISIBLE,
    PRIMARY KEY (id),
    KEY happened (happened)
) ENGINE=InnoDB
