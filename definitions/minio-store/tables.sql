CREATE TABLE IF NOT EXISTS stored_summaries (
    sensor  text NOT NULL,
    day     date NOT NULL,
    url     text NOT NULL,
    sha256  text NOT NULL,
    bytes   integer NOT NULL,
    too_hot integer NOT NULL,
    run     text NOT NULL,
    PRIMARY KEY (sensor, day)
);
