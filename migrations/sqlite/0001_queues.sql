-- Everything the embedded relay keeps. Nothing here names a person, and no row links one queue to
-- another. Times are milliseconds since 1970 (UTC); days are days since 1970.

-- One row: what this store is.
CREATE TABLE meta (
    one         INTEGER NOT NULL CONSTRAINT meta_pk PRIMARY KEY CONSTRAINT meta_one_row CHECK (one = 1),
    -- Told to every client: a store that was lost and made anew has another one.
    incarnation BLOB    NOT NULL CONSTRAINT meta_incarnation_size CHECK (length(incarnation) = 16),
    -- Fingerprint of the server keys that belong to this store. Others cannot open its tokens.
    keyring     BLOB    NOT NULL CONSTRAINT meta_keyring_size CHECK (length(keyring) = 16),
    -- Sequence numbers below this are given out or lost, never to be used again.
    next_seq    INTEGER NOT NULL CONSTRAINT meta_next_seq_positive CHECK (next_seq > 0)
) STRICT;

-- A mailbox: one reader, and whoever knows the address writes.
CREATE TABLE queues (
    id          BLOB    NOT NULL CONSTRAINT queues_id_size CHECK (length(id) = 16),
    -- SHA-256 of the address, so that this file gives nobody the right to write.
    address     BLOB    NOT NULL CONSTRAINT queues_address_size CHECK (length(address) = 32),
    -- The P-256 key that proves a reader.
    reader      BLOB    NOT NULL CONSTRAINT queues_reader_size CHECK (length(reader) = 65),
    created_day INTEGER NOT NULL,
    -- A day, not a moment: enough to drop what nobody uses, too coarse to follow anybody.
    used_day    INTEGER NOT NULL,
    CONSTRAINT queues_pk PRIMARY KEY (id),
    CONSTRAINT queues_address_unique UNIQUE (address)
) STRICT, WITHOUT ROWID;

-- What waits for a reader. The sequence number is unique in the whole store, and as the rowid it
-- makes inserts append and acknowledgements delete by key. That one queue does not hold an envelope
-- id twice is kept by the engine, which holds each active queue's index in memory: a second unique
-- index would double the cost of a write.
CREATE TABLE envelopes (
    seq     INTEGER NOT NULL CONSTRAINT envelopes_pk PRIMARY KEY,
    queue   BLOB    NOT NULL CONSTRAINT envelopes_queue_size CHECK (length(queue) = 16),
    id      BLOB    NOT NULL CONSTRAINT envelopes_id_size CHECK (length(id) = 16),
    -- 0: ciphertext from a writer, 1: notice from the server.
    kind    INTEGER NOT NULL CONSTRAINT envelopes_kind_known CHECK (kind IN (0, 1)),
    created INTEGER NOT NULL,
    body    BLOB    NOT NULL
) STRICT;
CREATE INDEX envelopes_by_queue ON envelopes (queue, seq);

-- Links. A row outlives its claim until the link would have expired, to say when it was opened.
CREATE TABLE invites (
    id         BLOB    NOT NULL CONSTRAINT invites_id_size CHECK (length(id) = 16),
    queue      BLOB    NOT NULL CONSTRAINT invites_queue_size CHECK (length(queue) = 16),
    -- Sealed with the link's secret. Gone once it cannot be asked for any more.
    card       BLOB,
    expires    INTEGER NOT NULL,
    claimed    INTEGER,
    -- SHA-256 of the claimant's key, who may repeat the claim for a while.
    claim_key  BLOB CONSTRAINT invites_claim_key_size CHECK (claim_key IS NULL OR length(claim_key) = 32),
    withdrawn  INTEGER NOT NULL DEFAULT 0 CONSTRAINT invites_withdrawn_bool CHECK (withdrawn IN (0, 1)),
    CONSTRAINT invites_pk PRIMARY KEY (id),
    CONSTRAINT invites_claim_whole CHECK ((claimed IS NULL) = (claim_key IS NULL)),
    CONSTRAINT invites_one_end CHECK (claimed IS NULL OR withdrawn = 0)
) STRICT;
CREATE INDEX invites_by_queue ON invites (queue);
CREATE INDEX invites_by_expiry ON invites (expires);
CREATE INDEX invites_cards_to_drop ON invites (claimed) WHERE card IS NOT NULL;

-- Vaults: written and read by their SIM alone, never expiring.
CREATE TABLE vaults (
    id         BLOB    NOT NULL CONSTRAINT vaults_id_size CHECK (length(id) = 16),
    generation INTEGER NOT NULL CONSTRAINT vaults_generation_positive CHECK (generation >= 0),
    -- Sum of the sizes of its blobs.
    bytes      INTEGER NOT NULL CONSTRAINT vaults_bytes_positive CHECK (bytes >= 0),
    CONSTRAINT vaults_pk PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE vault_entries (
    vault BLOB    NOT NULL CONSTRAINT vault_entries_vault REFERENCES vaults (id) ON DELETE CASCADE,
    slot  INTEGER NOT NULL CONSTRAINT vault_entries_slot_positive CHECK (slot >= 0),
    blob  BLOB    NOT NULL,
    CONSTRAINT vault_entries_pk PRIMARY KEY (vault, slot)
) STRICT;
