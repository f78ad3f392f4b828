-- What an analyst asks for: names, or a ratio. For a ratio the eventIds on both sides, else denominator is NULL.
-- A name may hold a slash itself. 'a / b', with blanks, is always a ratio. In 'a/b' what is there as a whole goes first, then the one slash that
-- has names on both sides.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.resolve (
    IN asked VARCHAR(4000) CHARACTER SET utf8mb4,
    OUT numerator LONGTEXT CHARACTER SET ascii,
    OUT denominator LONGTEXT CHARACTER SET ascii)
    READS SQL DATA
    SQL SECURITY INVOKER
BEGIN
    DECLARE slash INT DEFAULT LOCATE(' / ', asked);
    DECLARE above, below LONGTEXT CHARACTER SET ascii;

    SET denominator = NULL;
    IF slash > 0 THEN
        CALL eventtracker.find_names(LEFT(asked, slash - 1), numerator);
        CALL eventtracker.find_names(SUBSTRING(asked, slash + 3), denominator);
    ELSE
        CALL eventtracker.find_names(asked, numerator);
        IF numerator = '' THEN
            SET slash = LOCATE('/', asked, 2);
        END IF;
        WHILE slash > 0 AND slash < CHAR_LENGTH(asked) DO
            CALL eventtracker.find_names(LEFT(asked, slash - 1), above);
            CALL eventtracker.find_names(SUBSTRING(asked, slash + 1), below);
            IF above <> '' AND below <> '' THEN
                IF denominator IS NOT NULL THEN
                    CALL eventtracker.refuse(CONCAT('''', LEFT(asked, 100),
                        ''' can be read as more than one ratio: put blanks around the slash that divides'));
                END IF;
                SET numerator = above, denominator = below;
            END IF;
            SET slash = LOCATE('/', asked, slash + 1);
        END WHILE;
    END IF;
    IF numerator = '' OR denominator = '' THEN
        CALL eventtracker.refuse(CONCAT('''', LEFT(asked, 100), ''' or a part of it matches no name'));
    END IF;
    -- As many as find_names() takes: both lists are put behind one IN.
    IF CHAR_LENGTH(CONCAT(numerator, denominator)) - CHAR_LENGTH(REPLACE(CONCAT(numerator, denominator), ',', '')) + 2 > 499 THEN
        CALL eventtracker.refuse(CONCAT('\'', LEFT(asked, 100), '\' matches more than 499 names: use narrower patterns'));
    END IF;
    IF denominator IS NOT NULL AND LOCATE(',', asked) > 0 THEN
        CALL eventtracker.refuse(CONCAT('''', LEFT(asked, 100), ''' mixes a ratio with a list: ask for one ratio'));
    END IF;
END
