import logging

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from django_memsize import checks, conf


def ids():
    return [message.id for message in checks.check_settings()]


def test_everything_has_a_default():
    with override_settings(MEMSIZE={}, DEBUG=False):
        config = conf.config()

    assert config.sample_rate == 0.01
    assert config.max_overhead == 0.05
    assert config.retention == 1000
    assert config.retention_days == 30
    assert config.enabled
    assert config.database == ""


def test_while_debugging_every_request_is_measured():
    with override_settings(DEBUG=True):
        assert conf.config().sample_rate == 1.0


def test_what_is_set_replaces_the_default_and_goes_with_the_override():
    with override_settings(MEMSIZE={"TOP_TYPES": 7}):
        assert conf.config().top_types == 7

    assert conf.config().top_types == 50


@pytest.mark.parametrize("debug", [False, True])
def test_every_default_passes_its_own_check(debug):
    with override_settings(MEMSIZE={}, DEBUG=debug):
        failing = [
            key
            for key, setting in conf.declared().items()
            if not setting.check(conf.defaults()[key])
        ]

    assert failing == []


def test_every_key_is_a_field_in_lower_case():
    with override_settings(MEMSIZE={}):
        config = conf.config()
        assert {key: getattr(config, key.lower()) for key in conf.declared()} == conf.defaults()


def test_a_list_of_patterns_becomes_a_tuple_that_nobody_can_change():
    with override_settings(MEMSIZE={"EXCLUDE": ["/static/*"]}):
        assert conf.config().exclude == ("/static/*",)


def test_shares_by_pattern_keep_their_order_and_nobody_can_change_them():
    given = {"/b/*": 0.5, "/a/*": 1}
    with override_settings(MEMSIZE={"SAMPLE_RATES": given}):
        rates = conf.config().sample_rates
        assert list(rates.items()) == [("/b/*", 0.5), ("/a/*", 1)]
        given.clear()
        assert len(rates) == 2
        with pytest.raises(TypeError):
            rates["/c/*"] = 1


def test_a_setting_with_a_default_of_its_own_while_debugging_can_be_set_all_the_same():
    with override_settings(MEMSIZE={"SAMPLE_RATE": 0.5}, DEBUG=True):
        assert conf.config().sample_rate == 0.5


@pytest.mark.parametrize(
    ("path", "excluded"),
    [("/static/a/b.css", True), ("/health", True), ("/healthy", False), ("/accounts/", False)],
)
def test_patterns_of_paths_are_those_of_a_shell(path, excluded):
    with override_settings(MEMSIZE={"EXCLUDE": ["/static/*", "/health"]}):
        assert conf.config().excludes(path) is excluded


WRONG = [
    ("ENABLED", "yes"),
    ("SAMPLE_RATE", -0.1),
    ("SAMPLE_RATE", "0.5"),
    ("SAMPLE_RATE", True),
    ("SAMPLE_RATE", float("nan")),
    ("SAMPLE_FIRST", -1),
    ("SAMPLE_FIRST", None),
    ("SAMPLE_INTERVAL", 0.5),
    ("SAMPLE_RATES", ["/api/*"]),
    ("SAMPLE_RATES", {"/api/*": 2}),
    ("SAMPLE", "sample"),
    ("INSTRUMENT", "pympler"),
    ("EVALUATIONS", 1),
    ("EXCLUDE", "/static/*"),
    ("EXCLUDE", [1]),
    ("TOP_TYPES", 0),
    ("TOP_TYPES", 1.5),
    ("DATABASE", "nowhere"),
    ("RETENTION", -1),
    ("RETENTION_DAYS", -1),
    ("RETENTION_DAYS", 0.5),
    ("RETENTION_DAYS", True),
    ("MAX_OVERHEAD", 2),
    ("METER_MEMORY", 0),
    ("METER_MEMORY", "64 MB"),
    ("RELEASE", 7),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_an_unusable_value_is_reported_with_its_key_and_a_hint(key, value):
    with override_settings(MEMSIZE={key: value}):
        (message,) = checks.check_settings()

    assert message.id == "memsize.E002"
    assert repr(key) in message.msg
    assert message.hint.startswith("Set it to ")


def test_an_unknown_key_is_reported_with_the_known_keys():
    with override_settings(MEMSIZE={"SAMPLERATE": 1.0}):
        (message,) = checks.check_settings()

    assert message.id == "memsize.E001"
    assert "SAMPLERATE" in message.msg
    assert "SAMPLE_RATE" in message.hint


def test_settings_that_are_not_a_dict_are_reported():
    with override_settings(MEMSIZE=["ENABLED"]):
        assert ids() == ["memsize.E002"]


def test_the_checks_run_with_those_of_the_project():
    with override_settings(MEMSIZE={"TOP_TYPES": 0}):
        assert "memsize.E002" in [message.id for message in run_checks()]


def test_invalid_settings_are_logged_once_and_disable_memsize(caplog):
    with override_settings(MEMSIZE={"TOP_TYPES": 0}), caplog.at_level(logging.ERROR):
        assert conf.active() is None
        assert conf.active() is None
        with pytest.raises(conf.InvalidSettingsError, match="TOP_TYPES"):
            conf.config()

    (record,) = caplog.records
    assert "TOP_TYPES" in record.getMessage()
    assert "at least 1" in record.getMessage()


def test_tests_are_measured_only_if_they_override_the_settings():
    assert conf.is_quiet()
    with override_settings(MEMSIZE={}):
        assert not conf.is_quiet()
    assert conf.is_quiet()
