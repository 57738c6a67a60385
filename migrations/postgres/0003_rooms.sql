-- Rooms, and the queue with many readers that carries them: each body is stored once, and each reader
-- has a place up to which it has read. Channels of groups will use the same queue.

-- A room. Everything of it goes with this row.
CREATE TABLE rooms (
    id        bytea   NOT NULL CONSTRAINT rooms_id_size CHECK (octet_length(id) = 16),
    -- SHA-256 of the token that joining takes, so that this table gives nobody the right to join.
    token     bytea   NOT NULL CONSTRAINT rooms_token_size CHECK (octet_length(token) = 32),
    -- The P-256 key of who may end it.
    creator   bytea   NOT NULL CONSTRAINT rooms_creator_size CHECK (octet_length(creator) = 65),
    idle      integer NOT NULL CONSTRAINT rooms_idle_positive CHECK (idle > 0),
    life      integer NOT NULL CONSTRAINT rooms_life_positive CHECK (life > 0),
    people    integer NOT NULL CONSTRAINT rooms_people_positive CHECK (people > 0),
    history   integer NOT NULL CONSTRAINT rooms_history_positive CHECK (history >= 0),
    ends      bigint  NOT NULL,
    -- When it ends if nothing is said.
    closes    bigint  NOT NULL CONSTRAINT rooms_closes_in_time CHECK (closes <= ends),
    -- The newest place, the highest number of a person, and how many messages there were.
    head      bigint  NOT NULL DEFAULT 0,
    numbers   bigint  NOT NULL DEFAULT 0,
    messages  bigint  NOT NULL DEFAULT 0,
    CONSTRAINT rooms_pk PRIMARY KEY (id)
);
CREATE INDEX rooms_by_end ON rooms (closes);

-- Who belongs to a room: a key, and a name that only people of the room can read.
CREATE TABLE room_people (
    room        bytea   NOT NULL CONSTRAINT room_people_room REFERENCES rooms (id) ON DELETE CASCADE,
    number      integer NOT NULL CONSTRAINT room_people_number_positive CHECK (number > 0),
    key         bytea   NOT NULL CONSTRAINT room_people_key_size CHECK (octet_length(key) = 65),
    name_hash   bytea   NOT NULL CONSTRAINT room_people_name_hash_size CHECK (octet_length(name_hash) = 32),
    name_number integer NOT NULL CONSTRAINT room_people_name_number_positive CHECK (name_number > 0),
    name        bytea   NOT NULL,
    -- The highest sequence of theirs that was taken.
    seq         bigint  NOT NULL DEFAULT 0,
    -- The connection that reads for them, if one does.
    session     bytea CONSTRAINT room_people_session_size CHECK (session IS NULL OR octet_length(session) = 16),
    CONSTRAINT room_people_pk PRIMARY KEY (room, number),
    CONSTRAINT room_people_key_unique UNIQUE (room, key),
    CONSTRAINT room_people_name_unique UNIQUE (room, name_hash, name_number)
);

-- What happened in a queue with many readers, once for all of them.
CREATE TABLE shared_entries (
    queue   bytea   NOT NULL CONSTRAINT shared_entries_queue_size CHECK (octet_length(queue) = 16),
    -- Rises by one within the queue.
    place   bigint  NOT NULL CONSTRAINT shared_entries_place_positive CHECK (place > 0),
    -- Who wrote it, or whom it is about.
    writer  integer NOT NULL,
    -- How many messages there were in the queue with it: what is too old is known by this.
    nth     bigint  NOT NULL,
    created bigint  NOT NULL,
    body    bytea   NOT NULL,
    CONSTRAINT shared_entries_pk PRIMARY KEY (queue, place)
);
CREATE INDEX shared_entries_by_nth ON shared_entries (queue, nth);
CREATE INDEX shared_entries_by_writer ON shared_entries (queue, writer);

-- Ciphertext does not get smaller.
ALTER TABLE shared_entries ALTER COLUMN body SET STORAGE EXTERNAL;
