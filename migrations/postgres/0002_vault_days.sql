-- When a vault was written last, so that those that never held more than their head can go.
-- Looked at once a day: no index.
ALTER TABLE vaults ADD COLUMN used_day integer NOT NULL DEFAULT 0;
UPDATE vaults SET used_day = (extract(epoch FROM clock_timestamp()) / 86400)::integer;
