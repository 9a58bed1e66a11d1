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
