-- What each statement keeps: docs/history.md. `no` is the short name of a run inside the store; it orders runs that
-- began in the same millisecond.
CREATE TABLE run (
    no INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    version TEXT NOT NULL,
    sha TEXT NOT NULL,
    key TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    duration_ms INTEGER,
    error_code TEXT,
    error_message TEXT,
    parent TEXT,
    restart_of TEXT,
    parked_step TEXT,
    waits_for TEXT,
    due_ms INTEGER,
    stopping TEXT,
    seq INTEGER NOT NULL,
    first_seq INTEGER NOT NULL
);
CREATE INDEX run_started ON run (started_ms, no);
CREATE INDEX run_definition ON run (definition, started_ms, no);
CREATE INDEX run_version ON run (definition, version, started_ms, no);
CREATE INDEX run_status ON run (status, started_ms, no);
CREATE INDEX run_definition_status ON run (definition, status, started_ms, no);
CREATE INDEX run_key ON run (key, started_ms, no);
CREATE INDEX run_ended ON run (ended_ms, no) WHERE ended_ms IS NOT NULL;
CREATE INDEX run_duration ON run (duration_ms, no) WHERE duration_ms IS NOT NULL;
CREATE INDEX run_definition_ended ON run (definition, ended_ms, no) WHERE ended_ms IS NOT NULL;
CREATE INDEX run_definition_duration ON run (definition, duration_ms, no) WHERE duration_ms IS NOT NULL;
CREATE INDEX run_error ON run (error_code, started_ms, no) WHERE error_code IS NOT NULL;
CREATE INDEX run_parked ON run (parked_step, started_ms, no) WHERE parked_step IS NOT NULL;
CREATE INDEX run_is_parked ON run (started_ms, no) WHERE parked_step IS NOT NULL;
CREATE INDEX run_parent ON run (parent, started_ms, no) WHERE parent IS NOT NULL;
CREATE INDEX run_restart ON run (restart_of, started_ms, no) WHERE restart_of IS NOT NULL;
CREATE INDEX run_due ON run (due_ms, no) WHERE due_ms IS NOT NULL;

CREATE TABLE attr (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    no INTEGER NOT NULL,
    PRIMARY KEY (name, value, started_ms, no)
) WITHOUT ROWID;
CREATE INDEX attr_run ON attr (no);

CREATE TABLE step_now (
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    begun_ms INTEGER NOT NULL,
    due_ms INTEGER,
    waits_for TEXT,
    error_code TEXT,
    body BLOB NOT NULL,
    PRIMARY KEY (run, step)
) WITHOUT ROWID;
CREATE INDEX step_now_state ON step_now (state, since_ms);

CREATE TABLE transition (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    step TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;

CREATE TABLE sealed (
    run TEXT PRIMARY KEY,
    n INTEGER NOT NULL,
    codec TEXT NOT NULL,
    body BLOB NOT NULL
);

CREATE TABLE hour (
    definition TEXT NOT NULL,
    version TEXT NOT NULL,
    status TEXT NOT NULL,
    hour INTEGER NOT NULL,
    n INTEGER NOT NULL,
    total_ms INTEGER NOT NULL,
    hist BLOB NOT NULL,
    PRIMARY KEY (definition, version, status, hour)
) WITHOUT ROWID;
CREATE INDEX hour_hour ON hour (hour);

CREATE TABLE step_hour (
    definition TEXT NOT NULL,
    version TEXT NOT NULL,
    step TEXT NOT NULL,
    outcome TEXT NOT NULL,
    hour INTEGER NOT NULL,
    n INTEGER NOT NULL,
    total_ms INTEGER NOT NULL,
    hist BLOB NOT NULL,
    PRIMARY KEY (definition, version, step, outcome, hour)
) WITHOUT ROWID;
CREATE INDEX step_hour_hour ON step_hour (hour);

CREATE TABLE trouble (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    definition TEXT NOT NULL,
    key TEXT NOT NULL,
    event TEXT NOT NULL,
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    state TEXT NOT NULL,
    place TEXT NOT NULL
);
CREATE INDEX trouble_at ON trouble (at_ms, id);
CREATE INDEX trouble_kind ON trouble (kind, at_ms, id);
CREATE INDEX trouble_state ON trouble (state, kind, at_ms, id);
CREATE INDEX trouble_definition ON trouble (definition, at_ms, id);
CREATE INDEX trouble_run ON trouble (run) WHERE run <> '';

CREATE TABLE event_fate (
    event_id TEXT NOT NULL,
    source TEXT NOT NULL,
    definition TEXT NOT NULL,
    key TEXT NOT NULL,
    outcome TEXT NOT NULL,
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    place TEXT NOT NULL,
    PRIMARY KEY (event_id, source, definition, key, outcome, run, step)
) WITHOUT ROWID;
CREATE INDEX event_fate_at ON event_fate (at_ms);

CREATE TABLE progress (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    topic_id TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    end_offset INTEGER NOT NULL,
    record_ms INTEGER NOT NULL,
    lag_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

CREATE TABLE archived (
    object TEXT PRIMARY KEY,
    connection TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL
);

CREATE TABLE kept (
    run TEXT PRIMARY KEY,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE log_line (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    role TEXT NOT NULL,
    level TEXT NOT NULL,
    event TEXT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE INDEX log_line_at ON log_line (at_ms);
