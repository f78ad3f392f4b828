-- The eventIds of names, as a list to put behind IN: '' where one of the patterns matches no name.
-- Patterns are separated by commas, which no name has. * stands for any run within a dot-separated part, ** also across dots, ? for one
-- character that is no dot. Nothing but the characters of names and these reaches another statement.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.find_names (IN patterns VARCHAR(4000) CHARACTER SET utf8mb4, OUT ids LONGTEXT CHARACTER SET ascii)
    READS SQL DATA
    SQL SECURITY INVOKER
BEGIN
    -- Beyond 999, and side_by_side() puts two such lists into one, the optimizer turns IN into a join, and every shard is read.
    DECLARE names_max INT DEFAULT 499;
    DECLARE found, found_more INT DEFAULT 0;
    DECLARE more LONGTEXT CHARACTER SET ascii;
    DECLARE rest VARCHAR(4001) CHARACTER SET ascii COLLATE ascii_bin;
    DECLARE pattern, beginning, expression VARCHAR(4000) CHARACTER SET ascii COLLATE ascii_bin;
    -- A pattern that takes too long to match is a warning, and matches nothing.
    DECLARE EXIT HANDLER FOR 1139
        CALL eventtracker.refuse(CONCAT('''', LEFT(patterns, 100), ''' has too many wildcards to be matched: use fewer'));

    IF patterns IS NULL OR patterns NOT REGEXP '^[A-Za-z0-9_.:/@#+%~=*?,-]+\\z' THEN
        CALL eventtracker.refuse(CONCAT('''', LEFT(COALESCE(patterns, 'NULL'), 100),
            ''' is no name or pattern: these consist of A-Z a-z 0-9 _ - . : / @ # + % ~ =, the wildcards * ** ?, and commas between several'));
    END IF;
    SET ids = '', rest = CONCAT(patterns, ',');
    each_pattern: WHILE rest <> '' DO
        SET pattern = SUBSTRING_INDEX(rest, ',', 1);
        SET rest = SUBSTRING(rest, CHAR_LENGTH(pattern) + 2);
        IF LOCATE('*', pattern) = 0 AND LOCATE('?', pattern) = 0 THEN
            SELECT COUNT(*), MIN(eventId) INTO found_more, more
            FROM eventtracker.event_tags
            WHERE eventId = CAST(CONV(LEFT(MD5(pattern), 16), 16, 10) AS UNSIGNED) AND tagName = pattern;
        ELSE
            -- What stands before the first wildcard is found by the index.
            SET beginning = REGEXP_SUBSTR(pattern, '^[^*?]*');
            SET beginning = CONCAT(REPLACE(REPLACE(beginning, '_', '\\_'), '%', '\\%'), '%');
            SET expression = REPLACE(REPLACE(REPLACE(pattern, '.', '[.]'), '+', '[+]'), '?', '[^.]');
            SET expression = REPLACE(REPLACE(REPLACE(expression, '**', '!'), '*', '[^.]*'), '!', '.*');
            SET STATEMENT group_concat_max_len = 1048576 FOR
                SELECT COUNT(*), GROUP_CONCAT(eventId ORDER BY eventId) INTO found_more, more
                FROM eventtracker.event_tags
                WHERE tagName LIKE beginning AND tagName REGEXP CONCAT('^', expression, '$');
        END IF;
        IF found_more = 0 THEN
            SET ids = '';
            LEAVE each_pattern;
        END IF;
        SET found = found + found_more;
        IF found > names_max THEN
            CALL eventtracker.refuse(CONCAT('''', LEFT(patterns, 100), ''' matches more than ', names_max, ' names: use a narrower pattern'));
        END IF;
        SET ids = CONCAT_WS(',', NULLIF(ids, ''), more);
    END WHILE;
END
