"""The settings: every stage loads, overrides win, and what is wrong says so in one line."""

import json

import pytest

from stacks.settings import STAGES, ImageSize, SettingsError, load_settings


def _sizes(*changes: dict[str, object]) -> str:
    """The text of `image_sizes`, each size with its changes."""
    size = {"prefix": "small", "function": "CreateSmall", "width": 100, "height": 50}
    return json.dumps([size | change for change in changes])


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_needs_no_further_option(stage: str) -> None:
    assert load_settings({"stage": stage}).stage == stage


def test_default_stage_is_dev() -> None:
    assert load_settings({}).stage == "dev"


def test_an_override_wins_over_the_stage_and_is_read_from_text() -> None:
    settings = load_settings(
        {"stage": "prod", "orders_burst": "7", "keep_data": "false", "order_emails": "a@example.com, b@example.com"}
    )
    assert (settings.orders_burst, settings.keep_data) == (7, False)
    assert settings.order_emails == ("a@example.com", "b@example.com")


def test_keys_of_the_cdk_are_passed_over() -> None:
    context = {"aws:cdk:enable-path-metadata": True, "@aws-cdk/core:flag": True, "availability-zones:account=1": []}
    assert load_settings(context) == load_settings({})


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"stage": "prd"}, ["stage", "'prd'", "local, dev, test, prod"]),
        ({"stage": ["dev"]}, ["stage", "['dev']"]),
        ({"alarm_emial": "a@example.com"}, ["alarm_emial", "unknown", "alarm_email"]),
        ({"alarm_email": "nobody"}, ["alarm_email", "'nobody'", "an e-mail address"]),
        ({"alarm_email": ""}, ["alarm_email", "''", "an e-mail address"]),
        ({"order_emails": "a@example.com,b"}, ["order_emails[1]", "an e-mail address"]),
        ({"order_phone_numbers": "0123"}, ["order_phone_numbers[0]", "E.164"]),
        ({"orders_burst": "0"}, ["orders_burst", "'0'", ">= 1"]),
        ({"orders_burst": "many"}, ["orders_burst", "'many'", "int"]),
        ({"log_retention_days": "15"}, ["log_retention_days", "'15'", "14", "30"]),
        ({"order_processor_timeout_seconds": "901"}, ["order_processor_timeout_seconds", "900"]),
        ({"order_processor_max_concurrency": "1"}, ["order_processor_max_concurrency", ">= 2"]),
        (
            {"order_service_authorization": "none"},
            ["order_service_authorization", "'none'", "aws_iam, api_key, aws_iam_and_api_key"],
        ),
        ({"order_service_timeout_seconds": "30"}, ["order_service_timeout_seconds", "'30'", "<= 29"]),
        ({"time_zone": "Vienna"}, ["time_zone", "'Vienna'", "dev", "IANA"]),
        ({"time_zone": "europe/vienna"}, ["time_zone", "'europe/vienna'", "IANA"]),
        ({"time_zone": "../../etc/passwd"}, ["time_zone", "IANA"]),
        (
            {"report_schedule": "0 2 * * *"},
            ["report_schedule", "'0 2 * * *'", "cron(minutes hours", "rate(value unit)"],
        ),
        ({"report_schedule": "cron(0 2 * * *)"}, ["report_schedule", "cron(minutes hours"]),
        ({"report_schedule": "cron(0 2 * * * *)"}, ["report_schedule", "one of the days a ?"]),
        ({"report_schedule": "cron(0 2 ? * ? *)"}, ["report_schedule", "one of the days a ?"]),
        ({"report_schedule": "rate(0 days)"}, ["report_schedule", "rate(value unit)"]),
        ({"report_schedule": "rate(1 week)"}, ["report_schedule", "rate(value unit)"]),
        ({"report_schedule": "at(2026-11-21T00:00:00)"}, ["report_schedule", "rate(value unit)"]),
        (
            {"report_schedule": "cron(30 6 * * ? *)"},
            ["report_due", "'cron(0 6 * * ? *)'", "dev", "later than report_schedule", "cron(30 6 * * ? *)"],
        ),
        ({"report_due": "cron(0 2 ? * * *)"}, ["report_due", "later than report_schedule"]),
        ({"report_due": "cron(59 1 * * ? *)"}, ["report_due", "later than report_schedule"]),
        ({"report_emails": "nobody"}, ["report_emails[0]", "an e-mail address"]),
        ({"stage": "local", "order_service_snap_start": True}, ["order_service_snap_start", "True", "local", "host"]),
        ({"database_sign_in": "password"}, ["database_sign_in", "'password'", "dev", "build_for aws"]),
        ({"database_sign_in": "token"}, ["database_sign_in", "'token'", "iam, password"]),
        ({"database_backup_days": "0"}, ["database_backup_days", ">= 1"]),
        ({"database_backup_days": "36"}, ["database_backup_days", "<= 35"]),
        ({"database_storage_gb": "19"}, ["database_storage_gb", ">= 20"]),
        ({"database_instance_type": "db.t4g.micro"}, ["database_instance_type", "without its db."]),
        ({"sales_recorder_max_concurrency": "1"}, ["sales_recorder_max_concurrency", ">= 2"]),
        ({"operator_principal_arns": "root"}, ["operator_principal_arns[0]", "ARN"]),
        ({"image_sizes": "[]"}, ["image_sizes", ">= 1"]),
        ({"image_sizes": "[{]"}, ["image_sizes", "'[{]'", "JSON"]),
        ({"image_sizes": "thumbnail"}, ["image_sizes[0]", "'thumbnail'", "object"]),
        ({"image_sizes": _sizes({"prefix": "Thumb"})}, ["image_sizes[0].prefix", "'Thumb'", "lower-case letters"]),
        ({"image_sizes": _sizes({}, {"prefix": "a/b"})}, ["image_sizes[1].prefix", "'a/b'", "lower-case letters"]),
        ({"image_sizes": _sizes({"prefix": "ingest"})}, ["image_sizes[0].prefix", "not ingest"]),
        ({"image_sizes": _sizes({"prefix": "original"})}, ["image_sizes[0].prefix", "original or all"]),
        ({"image_sizes": _sizes({"function": "make it"})}, ["image_sizes[0].function", "'make it'", "capital"]),
        ({"image_sizes": _sizes({"width": 0})}, ["image_sizes[0].width", "0 is", ">= 1"]),
        ({"image_sizes": _sizes({"height": 4_097})}, ["image_sizes[0].height", "4097", "<= 4096"]),
        ({"image_sizes": _sizes({"quality": 96})}, ["image_sizes[0].quality", "96", "<= 95"]),
        ({"image_sizes": _sizes({"format": "png"})}, ["image_sizes[0].format", "'png'", "one of jpeg, webp"]),
        ({"image_sizes": _sizes({"widht": 3})}, ["image_sizes[0]", "widht"]),
        ({"image_sizes": '[{"prefix": "small"}]'}, ["image_sizes[0]", "required field"]),
        ({"image_sizes": _sizes({}, {"function": "Other"})}, ["image_sizes", "'Small'", "once"]),
        ({"image_sizes": _sizes({}, {"prefix": "other"})}, ["image_sizes", "'CreateSmall'", "once"]),
        (
            {"image_sizes": _sizes({"prefix": "small-one"}, {"prefix": "x", "function": "SmallOne"})},
            ["image_sizes", "'SmallOne'", "once"],
        ),
        ({"image_suffixes": ".gif"}, ["image_suffixes[0]", "'.gif'", "one of .jpg, .jpeg, .JPG, .png, .webp"]),
        ({"image_suffixes": ".jpg,.png,.jpg"}, ["image_suffixes", "'.jpg'", "once"]),
        ({"image_suffixes": ""}, ["image_suffixes", ">= 1"]),
        ({"image_memory_mb": "512"}, ["image_memory_mb", "512", "dev", "60 megapixels", "100 MB"]),
        ({"image_max_megapixels": "1000"}, ["image_memory_mb", "1024", "1000 megapixels"]),
        ({"image_max_file_mb": "1000"}, ["image_memory_mb", "1024", "1000 MB"]),
        ({"image_max_concurrency": "1"}, ["image_max_concurrency", ">= 2"]),
        ({"image_emails": "nobody"}, ["image_emails[0]", "an e-mail address"]),
        ({"image_originals_days": "0"}, ["image_originals_days", ">= 1"]),
        ({"keep_data": "perhaps"}, ["keep_data", "'perhaps'", "bool"]),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_rule(context: dict[str, object], words: list[str]) -> None:
    with pytest.raises(SettingsError) as refusal:
        load_settings(context)
    assert "\n" not in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    "expression",
    ["cron(0 2 * * ? *)", "cron(15 6 ? * MON-FRI *)", "cron(0/30 8-18 1,15 * ? 2026-2030)", "cron(0 0 L * ? *)",
     "rate(1 day)", "rate(12 hours)"],
)  # fmt: skip
def test_schedules_that_the_scheduler_takes_are_taken(expression: str) -> None:
    assert load_settings({"report_schedule": expression}).report_schedule == expression


@pytest.mark.parametrize(
    ("made", "due"),
    [("cron(0 2 * * ? *)", "cron(1 2 * * ? *)"), ("cron(59 9 * * ? *)", "cron(0 10 ? * * *)"),
     ("cron(0 8 ? * MON-FRI *)", "cron(0 6 * * ? *)"), ("rate(1 day)", "cron(0 1 * * ? *)"),
     ("cron(0 0/6 * * ? *)", "cron(0 3 * * ? *)")],
)  # fmt: skip
def test_a_report_may_be_due_later_the_same_day_or_by_a_schedule_that_is_not_daily(made: str, due: str) -> None:
    settings = load_settings({"report_schedule": made, "report_due": due})
    assert (settings.report_schedule, settings.report_due) == (made, due)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna", "America/Argentina/Buenos_Aires"])
def test_time_zones_are_names_of_the_iana_database(zone: str) -> None:
    assert load_settings({"time_zone": zone}).time_zone == zone


def test_passwords_are_for_stages_that_run_on_this_machine() -> None:
    settings = load_settings({"stage": "local"})
    assert (settings.build_for, settings.database_sign_in) == ("host", "password")


def test_a_stage_with_a_misspelt_setting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stacks.settings.STAGES", {"mine": {"orders_brust": 1}})
    with pytest.raises(SettingsError, match="orders_brust"):
        load_settings({"stage": "mine"})


def test_sizes_of_images_are_read_from_json_text() -> None:
    settings = load_settings({"image_sizes": _sizes({}, {"prefix": "shop-window", "function": "X", "format": "webp"})})
    assert settings.image_sizes == (
        ImageSize(prefix="small", function="CreateSmall", width=100, height=50),
        ImageSize(prefix="shop-window", function="X", width=100, height=50, format="webp"),
    )
    assert [size.queue for size in settings.image_sizes] == ["Small", "ShopWindow"]


def test_every_list_may_be_json_text() -> None:
    assert load_settings({"order_emails": '["a@example.com"]'}).order_emails == ("a@example.com",)


def test_a_little_memory_does_for_little_images() -> None:
    small = {"image_memory_mb": "274", "image_max_megapixels": "12", "image_max_file_mb": "10"}
    assert load_settings(small).image_memory_mb == 274  # 12 bytes a pixel, the file, 120 MB
    with pytest.raises(SettingsError, match=">= 274"):
        load_settings(small | {"image_memory_mb": "273"})
