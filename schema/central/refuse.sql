-- Ends a procedure with a sentence for the analyst. SIGNAL takes no expression.
CREATE OR REPLACE DEFINER = eventtracker_analysts
PROCEDURE eventtracker.refuse (IN sentence VARCHAR(512) CHARACTER SET utf8mb4)
    SQL SECURITY INVOKER
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = sentence
