-- What people are notified of, to whom it goes, and since when anything is noted: docs/notifications.md.
CREATE TABLE notice (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    definition TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    code TEXT NOT NULL,
    who TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    state TEXT NOT NULL
);
CREATE INDEX notice_state ON notice (state, at_ms, id);
CREATE INDEX notice_at ON notice (at_ms, id);

CREATE TABLE notification (
    notice TEXT NOT NULL,
    person TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    holder TEXT NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (notice, person)
);
CREATE INDEX notification_state ON notification (state, person, next_ms);
CREATE INDEX notification_person ON notification (person, state, changed_ms);
CREATE INDEX notification_changed ON notification (changed_ms, notice, person);

CREATE TABLE noted_since (
    no INTEGER PRIMARY KEY,
    since_ms INTEGER NOT NULL
);
