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
