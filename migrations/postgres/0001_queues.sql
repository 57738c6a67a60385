-- Everything a cluster's relay keeps. Nothing here names a person, and no row links one queue to another.
-- Times are milliseconds since 1970 (UTC); days are days since 1970.

-- One row: what this store is.
CREATE TABLE meta (
    one         boolean NOT NULL DEFAULT true CONSTRAINT meta_pk PRIMARY KEY CONSTRAINT meta_one_row CHECK (one),
    -- Told to every client: a store that was lost, made anew or taken from a backup has another one.
    incarnation bytea   NOT NULL CONSTRAINT meta_incarnation_size CHECK (octet_length(incarnation) = 16),
    -- Fingerprint of the server keys that belong to this store. Others cannot open its tokens.
    keyring     bytea   NOT NULL CONSTRAINT meta_keyring_size CHECK (octet_length(keyring) = 16),
    -- Sequence numbers below this are given out or lost, never to be used again.
    next_seq    bigint  NOT NULL CONSTRAINT meta_next_seq_positive CHECK (next_seq > 0),
    -- Which Kafka this store was filled from. Another one's offsets mean nothing here.
    log         text
);

-- A mailbox: one reader, and whoever knows the address writes.
CREATE TABLE queues (
    id          bytea   NOT NULL CONSTRAINT queues_id_size CHECK (octet_length(id) = 16),
    -- SHA-256 of the address, so that this table gives nobody the right to write.
    address     bytea   NOT NULL CONSTRAINT queues_address_size CHECK (octet_length(address) = 32),
    -- The P-256 key that proves a reader.
    reader      bytea   NOT NULL CONSTRAINT queues_reader_size CHECK (octet_length(reader) = 65),
    created_day integer NOT NULL,
    -- A day, not a moment: enough to drop what nobody uses, too coarse to follow anybody.
    used_day    integer NOT NULL,
    CONSTRAINT queues_pk PRIMARY KEY (id),
    CONSTRAINT queues_address_unique UNIQUE (address)
);
CREATE INDEX queues_by_use ON queues (used_day);

-- Numbers of envelopes, drawn while the queue's row is locked: within a queue, what becomes visible
-- later has a higher one.
CREATE SEQUENCE envelope_numbers AS bigint;

-- What waits for a reader, and for a while what waited: an acknowledged envelope keeps its place
-- without its body, so that a retry that was on its way meanwhile is known.
CREATE TABLE envelopes (
    queue   bytea    NOT NULL CONSTRAINT envelopes_queue_size CHECK (octet_length(queue) = 16),
    id      bytea    NOT NULL CONSTRAINT envelopes_id_size CHECK (octet_length(id) = 16),
    seq     bigint   NOT NULL,
    -- 0: ciphertext from a writer, 1: notice from the server.
    kind    smallint NOT NULL CONSTRAINT envelopes_kind_known CHECK (kind IN (0, 1)),
    created bigint   NOT NULL,
    body    bytea,
    -- When it was acknowledged.
    done    bigint,
    CONSTRAINT envelopes_pk PRIMARY KEY (queue, id),
    CONSTRAINT envelopes_body_or_done CHECK ((body IS NULL) = (done IS NOT NULL))
);
-- Ciphertext does not get smaller.
ALTER TABLE envelopes ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX envelopes_waiting ON envelopes (queue, seq) WHERE body IS NOT NULL;
CREATE INDEX envelopes_by_age ON envelopes (created) WHERE body IS NOT NULL;
CREATE INDEX envelopes_done ON envelopes (done) WHERE done IS NOT NULL;

-- Links. A row outlives its claim until the link would have expired, to say when it was opened.
CREATE TABLE invites (
    id         bytea   NOT NULL CONSTRAINT invites_id_size CHECK (octet_length(id) = 16),
    queue      bytea   NOT NULL CONSTRAINT invites_queue_size CHECK (octet_length(queue) = 16),
    -- Sealed with the link's secret. Gone once it cannot be asked for any more.
    card       bytea,
    expires    bigint  NOT NULL,
    claimed    bigint,
    -- SHA-256 of the claimant's key, who may repeat the claim for a while.
    claim_key  bytea CONSTRAINT invites_claim_key_size CHECK (claim_key IS NULL OR octet_length(claim_key) = 32),
    withdrawn  boolean NOT NULL DEFAULT false,
    CONSTRAINT invites_pk PRIMARY KEY (id),
    CONSTRAINT invites_claim_whole CHECK ((claimed IS NULL) = (claim_key IS NULL)),
    CONSTRAINT invites_one_end CHECK (claimed IS NULL OR NOT withdrawn)
);
CREATE INDEX invites_by_queue ON invites (queue);
CREATE INDEX invites_by_expiry ON invites (expires);
CREATE INDEX invites_cards_to_drop ON invites (claimed) WHERE card IS NOT NULL;

-- Vaults: written and read by their SIM alone, never expiring.
CREATE TABLE vaults (
    id         bytea  NOT NULL CONSTRAINT vaults_id_size CHECK (octet_length(id) = 16),
    generation bigint NOT NULL CONSTRAINT vaults_generation_positive CHECK (generation >= 0),
    -- Sum of the sizes of its blobs.
    bytes      bigint NOT NULL CONSTRAINT vaults_bytes_positive CHECK (bytes >= 0),
    CONSTRAINT vaults_pk PRIMARY KEY (id)
);

CREATE TABLE vault_entries (
    vault bytea   NOT NULL CONSTRAINT vault_entries_vault REFERENCES vaults (id) ON DELETE CASCADE,
    slot  integer NOT NULL CONSTRAINT vault_entries_slot_positive CHECK (slot >= 0),
    blob  bytea   NOT NULL,
    CONSTRAINT vault_entries_pk PRIMARY KEY (vault, slot)
);
ALTER TABLE vault_entries ALTER COLUMN blob SET STORAGE EXTERNAL;

-- How far the log has been moved into this store, moved together with what was stored. Only the
-- holder of the newest epoch of a partition may move it.
CREATE TABLE partitions (
    partition   integer NOT NULL CONSTRAINT partitions_pk PRIMARY KEY,
    next_offset bigint  NOT NULL CONSTRAINT partitions_offset_positive CHECK (next_offset >= 0),
    epoch       bigint  NOT NULL,
    node        text
);

-- Which node holds the socket of whom: to wake it, and to tell who was replaced. Lost in a crash, which
-- is no harm: nodes look after their readers every few seconds and put them back.
CREATE SEQUENCE reader_numbers AS bigint;
CREATE UNLOGGED TABLE readers (
    queue  bytea  NOT NULL CONSTRAINT readers_pk PRIMARY KEY,
    node   text   NOT NULL,
    -- Later subscriptions have higher numbers.
    number bigint NOT NULL
);
