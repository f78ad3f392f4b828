-- There from the beginning: workers that lock a row which is not there lock a gap, and would let 'region switch' wait for ever.
INSERT IGNORE INTO eventtracker.RegionMoved (id) VALUES (1)
