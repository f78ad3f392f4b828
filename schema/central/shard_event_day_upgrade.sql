-- Earlier versions had an index without the total.
ALTER TABLE bigdata_{shard}.EventDay
    DROP KEY IF EXISTS eventDay,
    ADD KEY IF NOT EXISTS eventTotal (eventId, day, total)
