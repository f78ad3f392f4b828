-- For a table from when names were found by their first 25 characters only.
ALTER TABLE bigdata_0.EventTags
    ADD KEY IF NOT EXISTS wholeName (tagName),
    DROP KEY IF EXISTS eventTag
