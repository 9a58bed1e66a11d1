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
