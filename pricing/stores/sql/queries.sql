-- Every statement that the application runs, by name. A line "-- name: x" opens a statement; the
-- comment lines below it say what it is for and are not sent.

-- name: read_states
-- What `ZoneState` needs, of active zones. $1: zone ids.
SELECT
    zone_id, city_id, base_fare_minor, currency, multiplier_micro, raw_multiplier_micro,
    demand_count, supply_count, signal, confidence_percent, reasons, window_start,
    last_updated AS window_end, policy_version
FROM current_zone_status
WHERE zone_id = ANY($1::text[])

-- name: insert_snapshot
-- The first writer of a tick wins: equal policy means equal bits.
INSERT INTO zone_snapshots (
    zone_id, city_id, base_fare_minor, currency, multiplier_micro, raw_multiplier_micro,
    demand_count, supply_count, signal, confidence_percent, reasons, window_start, window_end,
    policy_version
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (zone_id, window_end) DO NOTHING

-- name: advance_city
-- A late tick never takes a city back.
INSERT INTO city_ticks (city_id, last_tick) VALUES ($1, $2)
ON CONFLICT (city_id) DO UPDATE SET last_tick = EXCLUDED.last_tick
WHERE city_ticks.last_tick < EXCLUDED.last_tick

-- name: ensure_snapshot_partition
SELECT ensure_snapshot_partition($1)

-- name: drop_snapshot_partitions
SELECT drop_snapshot_partitions($1)

-- name: ping
SELECT 1

-- name: upsert_zones
-- One array a column. Touches a row only where something differs, so that updated_at tells when.
INSERT INTO zones (
    zone_id, name, city_id, zone_class, base_fare_minor, currency, lat, lon, area_km2,
    min_multiplier_micro, max_multiplier_micro
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::float8[],
    $8::float8[], $9::float8[], $10::bigint[], $11::bigint[]
)
ON CONFLICT (zone_id) DO UPDATE SET
    (name, city_id, zone_class, base_fare_minor, currency, lat, lon, area_km2,
     min_multiplier_micro, max_multiplier_micro, is_active, updated_at)
    = (EXCLUDED.name, EXCLUDED.city_id, EXCLUDED.zone_class, EXCLUDED.base_fare_minor,
       EXCLUDED.currency, EXCLUDED.lat, EXCLUDED.lon, EXCLUDED.area_km2,
       EXCLUDED.min_multiplier_micro, EXCLUDED.max_multiplier_micro, true, now())
WHERE (zones.name, zones.city_id, zones.zone_class, zones.base_fare_minor, zones.currency,
       zones.lat, zones.lon, zones.area_km2, zones.min_multiplier_micro,
       zones.max_multiplier_micro, zones.is_active)
    IS DISTINCT FROM
      (EXCLUDED.name, EXCLUDED.city_id, EXCLUDED.zone_class, EXCLUDED.base_fare_minor,
       EXCLUDED.currency, EXCLUDED.lat, EXCLUDED.lon, EXCLUDED.area_km2,
       EXCLUDED.min_multiplier_micro, EXCLUDED.max_multiplier_micro, true)

-- name: retire_zones
-- $1: every zone id of the catalogue.
UPDATE zones SET is_active = false, updated_at = now()
WHERE is_active AND zone_id <> ALL($1::text[])

-- name: create_schema_migrations
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: lock_migrations
SELECT pg_advisory_lock($1)

-- name: applied_migrations
SELECT version, name, checksum FROM schema_migrations ORDER BY version

-- name: record_migration
INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)

-- name: insert_mode_event
INSERT INTO mode_events (
    event_id, instance, kind, old_level, new_level, mode, causes, inputs, override, occurred_at
) VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9::jsonb, $10)
ON CONFLICT (event_id) DO NOTHING

-- name: insert_audit
INSERT INTO audit_log (
    event_id, actor, action, target, before, after, reason, instance, request_id, occurred_at
) VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb, $7, $8, $9, $10)
ON CONFLICT (event_id) DO NOTHING

-- name: read_mode_events
-- Newest first, from before a place on. $1, $2: the place; $3: how many.
SELECT event_id, instance, kind, old_level, new_level, mode, causes, inputs, override, occurred_at
FROM mode_events
WHERE (occurred_at, event_id) < ($1, $2)
ORDER BY occurred_at DESC, event_id DESC
LIMIT $3

-- name: read_audit
SELECT event_id, actor, action, target, before, after, reason, instance, request_id, occurred_at
FROM audit_log
WHERE (occurred_at, event_id) < ($1, $2)
ORDER BY occurred_at DESC, event_id DESC
LIMIT $3
