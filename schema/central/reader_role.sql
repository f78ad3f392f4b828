-- Who owns the procedure by which the keeper lets a centre read on. It may do whatever there is to replication, and nobody has it.
CREATE ROLE IF NOT EXISTS eventtracker_reader
