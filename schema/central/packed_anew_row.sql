-- A shard whose days are of an earlier form is gone through from its beginning.
INSERT INTO eventtracker.PackedAnew (shard, form, day, eventId)
VALUES ({shard}, 2, '1000-01-01', 0)
ON DUPLICATE KEY UPDATE
    day = IF(form < VALUES(form), VALUES(day), day),
    eventId = IF(form < VALUES(form), VALUES(eventId), eventId),
    form = VALUES(form)
