-- What people are notified of, to whom it goes, and since when anything is noted: docs/notifications.md.
CREATE TABLE notice (
    id TEXT COLLATE "C" PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    definition TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    step TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    who TEXT COLLATE "C" NOT NULL,
    at_ms BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL
);
CREATE INDEX notice_state ON notice (state, at_ms, id);
CREATE INDEX notice_at ON notice (at_ms, id);

CREATE TABLE notification (
    notice TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    next_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (notice, person)
);
CREATE INDEX notification_state ON notification (state, person, next_ms);
CREATE INDEX notification_person ON notification (person, state, changed_ms);
CREATE INDEX notification_changed ON notification (changed_ms, notice, person);

CREATE TABLE noted_since (
    no BIGINT PRIMARY KEY,
    since_ms BIGINT NOT NULL
);
