CREATE TABLE IF NOT EXISTS sales (
    shop         text NOT NULL,
    region       text NOT NULL,
    amount_cents integer NOT NULL,
    sold_at      timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS sales_reports (
    shop         text NOT NULL,
    day          date NOT NULL,
    url          text NOT NULL,
    orders       integer NOT NULL,
    amount_cents bigint NOT NULL,
    run          text NOT NULL,
    PRIMARY KEY (shop, day)
);

INSERT INTO sales (shop, region, amount_cents, sold_at) VALUES
    ('shop-1', 'north', 12900, '2026-03-02 09:12:00+00'),
    ('shop-1', 'north', 4950, '2026-03-02 11:40:00+00'),
    ('shop-1', 'south', 45000, '2026-03-02 12:05:00+00'),
    ('shop-1', 'west', 1990, '2026-03-02 16:30:00+00'),
    ('shop-1', 'south', 7500, '2026-03-03 08:15:00+00'),
    ('shop-2', 'north', 990, '2026-03-02 10:00:00+00');
