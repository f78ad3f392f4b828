-- For annotations from before it was noted who wrote them.
ALTER TABLE eventtracker.Annotation
    ADD COLUMN IF NOT EXISTS client VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL INVISIBLE
