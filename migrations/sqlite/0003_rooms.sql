-- Rooms, and the queue with many readers that carries them: each body is stored once, and each reader
-- has a place up to which it has read. Channels of groups will use the same queue.

-- A room. Everything of it goes with this row.
CREATE TABLE rooms (
    id        BLOB    NOT NULL CONSTRAINT rooms_id_size CHECK (length(id) = 16),
    -- SHA-256 of the token that joining takes, so that this file gives nobody the right to join.
    token     BLOB    NOT NULL CONSTRAINT rooms_token_size CHECK (length(token) = 32),
    -- The P-256 key of who may end it.
    creator   BLOB    NOT NULL CONSTRAINT rooms_creator_size CHECK (length(creator) = 65),
    idle      INTEGER NOT NULL CONSTRAINT rooms_idle_positive CHECK (idle > 0),
    life      INTEGER NOT NULL CONSTRAINT rooms_life_positive CHECK (life > 0),
    people    INTEGER NOT NULL CONSTRAINT rooms_people_positive CHECK (people > 0),
    history   INTEGER NOT NULL CONSTRAINT rooms_history_positive CHECK (history >= 0),
    ends      INTEGER NOT NULL,
    -- When it ends if nothing is said.
    closes    INTEGER NOT NULL CONSTRAINT rooms_closes_in_time CHECK (closes <= ends),
    -- The newest place, the highest number of a person, and how many messages there were.
    head      INTEGER NOT NULL DEFAULT 0,
    numbers   INTEGER NOT NULL DEFAULT 0,
    messages  INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT rooms_pk PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX rooms_by_end ON rooms (closes);

-- Who belongs to a room: a key, and a name that only people of the room can read.
CREATE TABLE room_people (
    room        BLOB    NOT NULL CONSTRAINT room_people_room REFERENCES rooms (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL CONSTRAINT room_people_number_positive CHECK (number > 0),
    key         BLOB    NOT NULL CONSTRAINT room_people_key_size CHECK (length(key) = 65),
    name_hash   BLOB    NOT NULL CONSTRAINT room_people_name_hash_size CHECK (length(name_hash) = 32),
    name_number INTEGER NOT NULL CONSTRAINT room_people_name_number_positive CHECK (name_number > 0),
    name        BLOB    NOT NULL,
    -- The highest sequence of theirs that was taken.
    seq         INTEGER NOT NULL DEFAULT 0,
    -- The connection that reads for them, if one does.
    session     BLOB CONSTRAINT room_people_session_size CHECK (session IS NULL OR length(session) = 16),
    CONSTRAINT room_people_pk PRIMARY KEY (room, number),
    CONSTRAINT room_people_key_unique UNIQUE (room, key),
    CONSTRAINT room_people_name_unique UNIQUE (room, name_hash, name_number)
) STRICT;

-- What happened in a queue with many readers, once for all of them.
CREATE TABLE shared_entries (
    queue   BLOB    NOT NULL CONSTRAINT shared_entries_queue_size CHECK (length(queue) = 16),
    -- Rises by one within the queue.
    place   INTEGER NOT NULL CONSTRAINT shared_entries_place_positive CHECK (place > 0),
    -- Who wrote it, or whom it is about.
    writer  INTEGER NOT NULL,
    -- How many messages there were in the queue with it: what is too old is known by this.
    nth     INTEGER NOT NULL,
    created INTEGER NOT NULL,
    body    BLOB    NOT NULL,
    CONSTRAINT shared_entries_pk PRIMARY KEY (queue, place)
) STRICT;
CREATE INDEX shared_entries_by_nth ON shared_entries (queue, nth);
CREATE INDEX shared_entries_by_writer ON shared_entries (queue, writer);
