-- What waits comes and goes within moments. Statistics taken when nothing waited said that all bodies are NULL,
-- and until they were taken again (a minute) a search of everything that waits was planned where one by queue
-- and number was meant: acknowledgements then took longer than a statement may.
ALTER TABLE envelopes ALTER COLUMN body SET STATISTICS 0;
-- What was gathered before goes by this; the rest stays as it was.
ALTER TABLE envelopes ALTER COLUMN body TYPE bytea;
ALTER TABLE envelopes ALTER COLUMN body SET STORAGE EXTERNAL;
