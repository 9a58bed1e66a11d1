"""What the environment may say, and how it is shown."""

import pytest

from pricing.wiring.settings import SettingsError, load_settings
from pricing.wiring.settings_report import effective, unknown_settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    monkeypatch.delenv("EQUILIBRIUM_PROFILE", raising=False)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"database_url": "mysql://u:secret@h/d"}, "the URL must begin with postgresql://"),
        ({"redis_url": "redis://:secret@h:0"}, "the URL's port cannot be 0"),
        ({"redis_url": "redis://:secret@h:port"}, "the URL's host or port cannot be read"),
        ({"kafka_bootstrap_servers": "a:1,b"}, "use host:port, with commas between several"),
        ({"readiness_requires": "redis,mysql"}, "unknown dependency 'mysql'"),
        ({"breaker_redis": "redis,window=1"}, "EQUILIBRIUM_BREAKER_REDIS="),
        ({"supply_hold_after_s": 180}, "EQUILIBRIUM_SUPPLY_HOLD_AFTER_S=180 must be less than"),
        ({"grace_ms": 5_000}, "EQUILIBRIUM_GRACE_MS=5000 must be shorter than"),
        ({"kafka_security_protocol": "SASL_SSL"}, "are needed with SASL"),
        ({"auth": "open", "http_host": "0.0.0.0"}, "HTTP_HOST=0.0.0.0 is not loopback"),  # noqa: S104 - refused
    ],
)
def test_wrong_setting_is_refused_in_one_line(wrong, text):
    with pytest.raises(SettingsError) as refused:
        load_settings(**wrong)
    assert text in str(refused.value)
    assert "secret@" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_postgres_is_another_name_of_the_database():
    assert load_settings(readiness_requires="postgres, redis").readiness_requires == (
        "database",
        "redis",
    )


def test_open_service_may_be_reached_when_allowed():
    settings = load_settings(auth="open", http_host="0.0.0.0", auth_open_anywhere=True)  # noqa: S104 - wanted
    assert settings.http_host == "0.0.0.0"  # noqa: S104 - wanted


def test_secrets_are_masked_in_the_report(monkeypatch):
    monkeypatch.setenv("EQUILIBRIUM_REDIS_URL", "redis://me:secret@h:1/0?password=secret")
    rows = {name: (shown, origin) for name, shown, origin in effective(load_settings(tick_s=4))}
    assert rows["EQUILIBRIUM_REDIS_URL"] == ("redis://me:********@h:1/0?********", "environment")
    assert rows["EQUILIBRIUM_TICK_S"] == ("4", ".env or command line")
    assert rows["EQUILIBRIUM_GRACE_MS"] == ("250", "default")
    assert "secret" not in str(rows)


def test_name_that_no_setting_has_is_told():
    environment = {"EQUILIBRIUM_TICKS": "5", "EQUILIBRIUM_API_KEY": "x", "PATH": "/bin"}
    assert unknown_settings(environment) == ["EQUILIBRIUM_TICKS"]
