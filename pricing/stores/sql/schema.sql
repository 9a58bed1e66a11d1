-- The whole schema as it is now, for reading: the sum of the migrations, which a test compares.
-- Nothing runs this file; a change goes into a new migration and here.

-- What ran here; written by `equilibrium migrate`.
CREATE TABLE schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- The zones of the catalogue, written by `equilibrium migrate`.
--
-- Whole numbers inside: fares in minor units of the currency, multipliers in millionths.
-- A zone that left the catalogue stays, inactive, so that its past can still be read.

CREATE TABLE zones (
    zone_id text PRIMARY KEY,
    name text NOT NULL,
    city_id text NOT NULL,
    zone_class text NOT NULL,
    base_fare_minor bigint NOT NULL,
    currency text NOT NULL,
    lat double precision NOT NULL,
    lon double precision NOT NULL,
    area_km2 double precision NOT NULL,
    min_multiplier_micro bigint NOT NULL,
    max_multiplier_micro bigint NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX zones_city_id ON zones (city_id);

-- What the processor found out, as a run-length code: a zone gets a row when its state differs
-- from the previous tick's, and once a minute. A zone's newest row holds until its city's last
-- tick, and that stands in city_ticks, written in the same transaction.

CREATE TABLE zone_snapshots (
    zone_id text NOT NULL,
    window_end timestamptz NOT NULL,
    window_start timestamptz NOT NULL,
    city_id text NOT NULL,
    base_fare_minor bigint NOT NULL,
    currency text NOT NULL,
    multiplier_micro bigint NOT NULL,
    raw_multiplier_micro bigint NOT NULL,
    demand_count integer NOT NULL,
    supply_count integer NOT NULL,
    signal text NOT NULL,
    confidence_percent smallint NOT NULL,
    reasons text[] NOT NULL,
    policy_version text NOT NULL,
    -- The order of the columns serves both "newest of a zone" and a zone's history.
    PRIMARY KEY (zone_id, window_end)
) PARTITION BY RANGE (window_end);

COMMENT ON TABLE zone_snapshots IS 'One partition a UTC day, made by ensure_snapshot_partition.';
COMMENT ON COLUMN zone_snapshots.window_end IS 'The tick; also the version of the state.';
COMMENT ON COLUMN zone_snapshots.multiplier_micro IS 'What a rider pays, in millionths.';
COMMENT ON COLUMN zone_snapshots.raw_multiplier_micro IS 'What demand and supply alone ask for.';
COMMENT ON COLUMN zone_snapshots.confidence_percent IS 'At the tick; an answer lowers it by its age.';

CREATE TABLE city_ticks (
    city_id text PRIMARY KEY,
    last_tick timestamptz NOT NULL
);

COMMENT ON TABLE city_ticks IS 'How recent "unchanged" is: the last tick of each city.';

-- Makes the partition of a UTC day; false: it is there. Safe side by side, and beside writers, who
-- would wait for CREATE ... PARTITION OF.
-- Both functions run as their owner: grant them to a role that may write rows but not tables.
CREATE FUNCTION ensure_snapshot_partition(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    partition text := 'zone_snapshots_' || to_char(day, 'YYYYMMDD');
    lower timestamptz := day::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- One maker at a time. Inserts do not wait for this lock, which ATTACH takes anyway.
    LOCK TABLE zone_snapshots IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE zone_snapshots INCLUDING ALL)', partition);
    EXECUTE format(
        'ALTER TABLE zone_snapshots ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition, lower, lower + interval '1 day'
    );
    RETURN true;
END
$$;

-- Drops the partitions of days that lie more than keep_days before the newest one, oldest first,
-- and names them. The newest counts as today at most, so that one tick of a wrong clock takes
-- nothing along. A drop waits for readers: call it with a short lock_timeout.
CREATE FUNCTION drop_snapshot_partitions(keep_days integer) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day record;
BEGIN
    IF keep_days < 1 THEN
        RAISE EXCEPTION 'keep_days must be at least 1, not %', keep_days;
    END IF;
    FOR day IN
        SELECT partition
        FROM (
            SELECT
                c.relname AS partition,
                to_date(right(c.relname, 8), 'YYYYMMDD') AS starts,
                max(to_date(right(c.relname, 8), 'YYYYMMDD')) OVER () AS newest
            FROM pg_inherits i
            JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'zone_snapshots'::regclass
              AND c.relname ~ '^zone_snapshots_[0-9]{8}$'
        ) days
        WHERE starts < least(newest, today) - keep_days
        ORDER BY starts
    LOOP
        EXECUTE format('DROP TABLE %I', day.partition);
        RETURN NEXT day.partition;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION ensure_snapshot_partition(date) FROM PUBLIC;
REVOKE ALL ON FUNCTION drop_snapshot_partitions(integer) FROM PUBLIC;

-- What every zone costs now, for people and for the database rung of the ladder.

-- Decimals of an ISO 4217 currency; the same table as pricing.model.currency_exponent.
CREATE FUNCTION currency_exponent(code text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN code IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX',
                  'VND', 'VUV', 'XAF', 'XOF', 'XPF') THEN 0
    WHEN code IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
    ELSE 2
END;

-- The newest snapshot of each active zone, carried forward to its city's last tick: a tick that
-- wrote no row for a zone found it unchanged. A zone without a snapshot has no row.
--
-- The lateral look-up reads the partitions from the newest backwards and stops at the first row,
-- so the price of this view does not grow with the days kept.
CREATE VIEW current_zone_status AS
SELECT
    z.zone_id,
    z.name AS zone_name,
    s.city_id,
    z.zone_class,
    round(s.base_fare_minor / 10::numeric ^ e.exponent, e.exponent) AS base_fare,
    trim_scale(s.multiplier_micro / 1000000::numeric) AS current_multiplier,
    round(
        round(s.base_fare_minor::numeric * s.multiplier_micro / 1000000) / 10::numeric ^ e.exponent,
        e.exponent
    ) AS price,
    s.currency,
    s.supply_count,
    s.demand_count,
    round(s.confidence_percent / 100::numeric, 2) AS confidence,
    s.reasons,
    s.signal,
    greatest(t.last_tick, s.window_end) AS last_updated,
    s.window_end AS changed_at,
    s.policy_version,
    s.base_fare_minor,
    s.multiplier_micro,
    s.raw_multiplier_micro,
    s.confidence_percent,
    greatest(t.last_tick, s.window_end) - (s.window_end - s.window_start) AS window_start
FROM zones z
CROSS JOIN LATERAL (
    SELECT *
    FROM zone_snapshots newest
    WHERE newest.zone_id = z.zone_id
    ORDER BY newest.window_end DESC
    LIMIT 1
) s
CROSS JOIN LATERAL (SELECT currency_exponent(s.currency) AS exponent) e
LEFT JOIN city_ticks t ON t.city_id = s.city_id
WHERE z.is_active;

COMMENT ON COLUMN current_zone_status.last_updated IS 'The last tick of the city: true until then.';
COMMENT ON COLUMN current_zone_status.changed_at IS 'Tick of the newest snapshot; no later tick told anything else.';
COMMENT ON COLUMN current_zone_status.confidence IS 'At changed_at; an answer lowers it by its age.';

-- What the system mode did and what operators did, projected from the topics `system-modes` and
-- `audit`. The event's id is the key, so that a record that is read twice is kept once.

CREATE TABLE mode_events (
    event_id uuid PRIMARY KEY,
    instance text NOT NULL,
    kind text NOT NULL,
    old_level text NOT NULL,
    new_level text NOT NULL,
    mode text NOT NULL,
    causes jsonb NOT NULL,
    inputs jsonb NOT NULL,
    override jsonb,
    occurred_at timestamptz NOT NULL
);

CREATE INDEX mode_events_occurred_at ON mode_events (occurred_at DESC, event_id DESC);

CREATE TABLE audit_log (
    event_id uuid PRIMARY KEY,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    before jsonb,
    after jsonb,
    reason text,
    instance text NOT NULL,
    request_id text,
    occurred_at timestamptz NOT NULL
);

CREATE INDEX audit_log_occurred_at ON audit_log (occurred_at DESC, event_id DESC);
