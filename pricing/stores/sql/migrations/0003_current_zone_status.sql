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
