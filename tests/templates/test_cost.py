"""The cost model reads the stages' templates, and its page has the tables as they are made.

Settings that change little are changed in a copy of the templates: another synthesis takes ten seconds.
"""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shop import cost, cost_plain, cost_report, cost_stage, synthesis
from shop.cli import app
from shop.cost import Load, Usage
from shop.cost_formulas import DAYS
from shop.cost_stage import FREE, PRICED, Stage
from shop.errors import ShopError
from shop.local import tools
from shop.prices import read_prices
from shop.target import ORDER_PIPELINE, ORDER_SERVICE
from tests.templates.synthesis import Template, resources, synthesise, the_only

PRICES = read_prices()
WORK = cost.read_durations().functions
LOAD = Load(orders=1_000_000, service_requests=1_000_000, images=10_000, months=3)


def stage_of(name: str) -> Stage:
    return cost_stage.read(name, synthesise(name).templates)


def dev_templates() -> dict[str, Template]:
    """A copy to change."""
    return copy.deepcopy(synthesise("dev").templates)


def bill(stage: Stage, load: Load = LOAD) -> dict[str, float]:
    """Quantities by price."""
    quantities: dict[str, float] = {}
    for line in cost.bill(cost.usages(stage, load, WORK), PRICES):
        quantities[line.price] = quantities.get(line.price, 0) + line.quantity
    return quantities


def test_no_type_is_both_priced_and_free_and_each_free_one_says_why() -> None:
    assert not PRICED.keys() & FREE.keys()
    assert all(PRICED.values())
    assert all(FREE.values())


@pytest.mark.parametrize("name", cost_report.PAGE_STAGES)
def test_every_system_of_a_stage_is_priced(name: str) -> None:
    found = stage_of(name)
    assert set(found.systems) == {"order-pipeline", "order-service", "sales-report", "image-fanout", "operations"}
    assert cost.total(cost.bill(cost.usages(found, LOAD, WORK), PRICES)) > 0


def test_a_type_that_nobody_has_thought_of_is_refused() -> None:
    templates = {**synthesise("dev").templates, "dev-x": {"Resources": {"A": {"Type": "AWS::EC2::NatGateway"}}}}
    with pytest.raises(ShopError, match=r"x: AWS::EC2::NatGateway is neither in PRICED nor in FREE"):
        cost_stage.read("dev", templates)


def test_a_function_that_nobody_has_thought_of_is_refused_and_is_no_image_size() -> None:
    templates = dev_templates()
    the_only(templates["dev-order-pipeline"], "AWS::Lambda::Function", "OrderProcessor")["Handler"] = "invoices.handler"
    with pytest.raises(ShopError, match=r"\Ainvoices: neither in PRICED_FUNCTIONS nor in UNPRICED_FUNCTIONS"):
        cost_stage.read("dev", templates)


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_what_is_billed_by_the_piece_is_counted_in_the_templates(name: str) -> None:
    templates = synthesise(name).templates.values()
    billed = bill(stage_of(name), Load(orders=1, reports=0))
    for price, resource_type in {
        "cloudwatch.dashboard": "AWS::CloudWatch::Dashboard",
        "kms.key": "AWS::KMS::Key",
        "secrets_manager.secret": "AWS::SecretsManager::Secret",
    }.items():
        assert billed[price] == sum(len(resources(template, resource_type)) for template in templates)


def test_an_alarm_is_billed_by_its_metrics() -> None:
    templates = dev_templates()
    before = bill(stage_of("dev"))["cloudwatch.alarm"]
    assert before >= sum(len(resources(each, "AWS::CloudWatch::Alarm")) for each in templates.values())
    two = [{"Id": "a", "MetricStat": {}}, {"Id": "b", "MetricStat": {}}, {"Id": "c", "Expression": "a / b"}]
    templates["dev-operations"]["Resources"]["A"] = {"Type": "AWS::CloudWatch::Alarm", "Properties": {"Metrics": two}}
    assert bill(cost_stage.read("dev", templates))["cloudwatch.alarm"] == before + 2


def test_settings_reach_the_bill() -> None:
    dev, prod = stage_of("dev"), stage_of("prod")
    assert bill(dev)["rds.db.t4g.micro"] == 730
    assert bill(prod)["rds.db.t4g.small"] == 1_460
    assert {function.memory_mb for name, function in dev.functions.items() if name.startswith("order")} == {512}
    assert dev.image_sizes == prod.image_sizes == ["mobile", "thumbnail"]
    assert dev.original_days == 30
    assert bill(prod)["cloudwatch.log_storage"] > bill(dev)["cloudwatch.log_storage"]  # a year's against a month's


def test_a_key_of_the_stack_s_own_for_queues_is_billed_with_its_requests() -> None:
    templates = dev_templates()
    resources_of_pipeline = templates["dev-order-pipeline"]["Resources"]
    resources_of_pipeline["DataKey"] = {"Type": "AWS::KMS::Key"}
    the_only(templates["dev-order-pipeline"], "AWS::SQS::Queue", "OrdersQueue")["KmsMasterKeyId"] = "the key's ARN"
    before, after = bill(stage_of("dev")), bill(cost_stage.read("dev", templates))
    assert after["kms.key"] == before["kms.key"] + 1
    assert after["kms.request"] > before["kms.request"]


def test_each_queue_with_a_key_of_the_stack_s_own_has_its_requests() -> None:
    templates = dev_templates()
    for stack, queue in (
        ("image-fanout", "ThumbnailQueue"),
        ("image-fanout", "MobileQueue"),
        ("sales-report", "Sales"),
    ):
        for logical_id, properties in resources(templates[f"dev-{stack}"], "AWS::SQS::Queue").items():
            if logical_id.startswith(queue):
                properties["KmsMasterKeyId"] = "the key's ARN"
    always = Load(orders=100_000_000, images=100_000_000, reports=0)
    added = (
        bill(cost_stage.read("dev", templates), always)["kms.request"] - bill(stage_of("dev"), always)["kms.request"]
    )
    # 8,760 periods of five minutes, three requests in each, three queues.
    assert added == pytest.approx(8_760 * 3 * 3)


def test_only_tables_with_continuous_backups_are_billed_for_them() -> None:
    templates = dev_templates()
    assert bill(stage_of("dev"))["dynamodb.continuous_backup"] > 0
    for template in templates.values():
        for table in resources(template, "AWS::DynamoDB::Table").values():
            table["PointInTimeRecoverySpecification"] = {"PointInTimeRecoveryEnabled": False}
    assert "dynamodb.continuous_backup" not in bill(cost_stage.read("dev", templates))


def test_a_service_that_starts_from_snapshots_is_billed_for_them_and_not_for_its_imports() -> None:
    templates = dev_templates()
    the_only(templates["dev-order-service"], "AWS::Lambda::Function", "OrderService")["SnapStart"] = {
        "ApplyOn": "PublishedVersions"
    }
    load = Load(orders=1, service_requests=1_000, reports=0)
    before, after = bill(stage_of("dev"), load), bill(cost_stage.read("dev", templates), load)
    # 512 MB, all month; 1,000 requests in 4,380 periods of ten minutes find no environment in exp(-0.228) = 0.796.
    assert after["lambda.snapshot_gb_second"] == 0.5 * 2_628_000
    assert after["lambda.snapshot_restored_gb"] == pytest.approx(0.5 * 796, rel=1e-3)
    assert not before.keys() & {"lambda.snapshot_gb_second", "lambda.snapshot_restored_gb"}
    without_imports = 0.5 * 796 * math.ceil(WORK["order_service"].cold_cpu_ms * 1_769 / 512) / 1_000
    saved = before["lambda.gb_second_arm64"] - after["lambda.gb_second_arm64"]
    assert saved == pytest.approx(without_imports, rel=1e-3)


def test_a_kept_snapshot_costs_about_two_dollars_a_month_though_nobody_calls() -> None:
    templates = dev_templates()
    the_only(templates["dev-order-service"], "AWS::Lambda::Function", "OrderService")["SnapStart"] = {
        "ApplyOn": "PublishedVersions"
    }
    idle = cost.bill(cost.usages(cost_stage.read("dev", templates), Load(orders=1), WORK), PRICES)
    kept = [line for line in idle if line.price == "lambda.snapshot_gb_second"]
    assert [(line.system, line.driver) for line in kept] == [(ORDER_SERVICE, cost.IDLE)]
    assert cost.total(kept) == pytest.approx(1.977, abs=0.001)


def test_a_size_of_ones_own_is_billed_like_the_largest_that_ships() -> None:
    two = stage_of("dev")
    three = replace(
        two,
        functions={**two.functions, "banner": two.functions["mobile"]},
        mappings={**two.mappings, "banner": two.mappings["mobile"]},
    )
    assert three.image_sizes == ["banner", "mobile", "thumbnail"]
    found = {line.price: line.quantity for line in cost.bill(cost.usages(three, LOAD, WORK), PRICES)
             if line.driver == cost.BY_IMAGES}  # fmt: skip
    assert found["lambda.request"] == 3 * LOAD.images
    assert found["s3.read_request"] == 6 * LOAD.images


def test_emails_are_billed_but_not_those_of_alarms() -> None:
    templates = dev_templates()
    pipeline = templates["dev-order-pipeline"]
    for topic in resources(pipeline, "AWS::SNS::Topic"):
        for number in range(2):
            properties = {"Protocol": "email", "TopicArn": {"Ref": topic}}
            pipeline["Resources"][f"{topic}{number}"] = {"Type": "AWS::SNS::Subscription", "Properties": properties}
    stage = cost_stage.read("dev", templates)
    assert bill(stage)["sns.email"] == 2 * LOAD.orders
    plain = cost.bill(cost_plain.usages(LOAD, stage), PRICES)
    assert [line.quantity for line in plain if line.price == "sns.email"] == [2 * LOAD.orders]


def test_pulling_a_lever_saves_what_it_says() -> None:
    stage = stage_of("dev")
    saved = {lever.name: dollars for lever, dollars in cost.savings(stage, LOAD, WORK, PRICES)}
    assert saved["HTTP APIs instead of REST APIs"] == pytest.approx(2 * 2.5, rel=1e-3)
    assert saved["no alarms"] == pytest.approx(0.10 * sum(system.alarms for system in stage.systems.values()))
    assert saved["no X-Ray traces"] == pytest.approx(bill(stage)["xray.trace"] * 5 / 1_000_000)
    in_cents = [round(dollars, 2) for dollars in saved.values()]
    assert in_cents == sorted(in_cents, reverse=True)
    assert "the smallest database, without a standby" not in saved  # dev has it


def test_keys_of_topics_and_of_data_are_levers_of_their_own() -> None:
    templates = dev_templates()
    for name, template in templates.items():
        if name != "dev-operations":
            template["Resources"]["DataKey"] = {"Type": "AWS::KMS::Key"}
    both = cost_stage.read("dev", templates)
    assert bill(both)["kms.key"] == 8
    one, two = "topics without keys of their own", "AWS's keys for tables, queues and logs"
    before = {lever.name: saved for lever, saved in cost.savings(stage_of("dev"), LOAD, WORK, PRICES)}
    after = {lever.name: saved for lever, saved in cost.savings(both, LOAD, WORK, PRICES)}
    assert two not in before
    assert after[one] == pytest.approx(before[one])
    assert after[two] == pytest.approx(4)


def test_provisioned_capacity_follows_the_load_at_seventy_percent() -> None:
    many = Load(orders=100_000_000, reports=0)
    saved = {lever.name: saved for lever, saved in cost.savings(stage_of("dev"), many, WORK, PRICES)}
    # 38.05 writes a second at 70 % are 54.36 units, against 100 million write request units.
    expected = 62.50 - 100_000_000 / 2_628_000 / 0.7 * 730 * 0.00065
    assert saved["provisioned tables, scaled automatically at 70%"] == pytest.approx(expected)


def test_without_log_lines_there_are_no_metrics_from_them_either() -> None:
    stage = stage_of("dev")
    lines = cost.bill(cost.usages(stage, LOAD, WORK), PRICES)
    logs = sum(line.dollars for line in lines if line.price.startswith("cloudwatch.log"))
    saved = {lever.name: saved for lever, saved in cost.savings(stage, LOAD, WORK, PRICES)}
    # All month long: five metrics of orders and three of images; one in thirty hours of the report.
    metrics = 0.30 * (5 + 3 + DAYS / 730)
    assert saved["no log lines but of failures"] == pytest.approx(logs + metrics, rel=2e-3)


def test_a_shop_without_orders_pays_for_the_rest() -> None:
    load = Load(orders=0, images=1_000)
    lines = cost.bill(cost.usages(stage_of("dev"), load, WORK), PRICES)
    assert {line.driver for line in lines} == {cost.IDLE, cost.BY_IMAGES, cost.BY_REPORTS}
    plain = cost.bill(cost_plain.usages(load, stage_of("dev")), PRICES)
    assert cost.units(plain, load).keys() == cost.units(lines, load).keys()


def test_the_free_tier_is_taken_off_once_for_all_systems() -> None:
    lines = cost.bill([Usage("a", "idle", {"sqs.request": 1_500_000}), Usage("b", "idle", {"sqs.request": 500_000})],
                      PRICES, free_tier=True)  # fmt: skip
    assert cost.total(lines) == pytest.approx(0.40)
    assert [line.dollars for line in lines] == pytest.approx([0.30, 0.10])


def test_what_has_no_price_is_named() -> None:
    big = replace(stage_of("dev"), database=cost_stage.Database("db.x2g.large", 20, multi_az=False))
    with pytest.raises(ShopError, match=r"rds\.db\.x2g\.large: no price in shop/prices\.json"):
        bill(big)


def test_an_order_s_price_is_made_of_what_it_takes() -> None:
    """By hand, for spikes only: a million orders are 100,000 runs of each of three functions."""
    spikes = replace(LOAD, spike_share=1.0, service_requests=0, images=0, reports=0)
    found = cost.bill(cost.usages(stage_of("dev"), spikes, WORK), PRICES)
    quantity = {line.price: line.quantity for line in found if (line.driver, line.system) == ("orders", ORDER_PIPELINE)}
    assert quantity["api_gateway.rest_request"] == 1_000_000
    assert quantity["sqs.request"] == 1_000_000 + 2 * 100_000
    assert quantity["lambda.request"] == 200_000
    assert quantity["dynamodb.write_request_unit"] == 1_000_000
    assert quantity["sns.request"] == 100_000


@pytest.mark.parametrize("load", [LOAD, Load(orders=1)])
def test_the_plain_lab_is_billed_for_the_same_things(load: Load) -> None:
    ours = cost.units(cost.bill(cost.usages(stage_of("dev"), load, WORK), PRICES), load)
    plain = cost.units(cost.bill(cost_plain.usages(load, stage_of("dev")), PRICES), load)
    assert plain.keys() == ours.keys()
    assert min(plain.values()) > 0


def test_every_price_is_used_and_says_where_it_is_from() -> None:
    stages = [stage_of("dev"), stage_of("prod")]
    usages = [usage for stage in stages for usage in cost.usages(stage, LOAD, WORK)]
    usages += [lever.usage(usage) for lever in cost.LEVERS for usage in usages]
    usages += cost_plain.usages(LOAD, stages[0])
    used = {name for usage in usages for name, quantity in usage.quantities.items() if quantity}
    # A size and a start to choose, and mail, which nobody gets by default.
    not_by_default = {"rds.db.t4g.medium", "lambda.snapshot_gb_second", "lambda.snapshot_restored_gb"}
    assert PRICES.prices.keys() - used == {*not_by_default, "sns.email"}
    read_in = {source for price in PRICES.prices.values() for source in price.read_in}
    assert read_in == PRICES.sources.keys()
    assert all(price.read_in for price in PRICES.prices.values())
    assert all(price.page.startswith("https://aws.amazon.com/") for price in PRICES.prices.values())
    assert all(price.price > 0 for price in PRICES.prices.values())


@pytest.mark.parametrize(
    ("price", "units", "dollars"),
    [
        ("sns.email", 100_000, 2.00),
        ("s3.read_request", 1_000, 0.0004),
        ("scheduler.invocation", 1_000_000, 1.00),
        ("rds.db.t4g.medium", 730, 47.45),
        ("lambda.snapshot_restored_gb", 10_000, 1.397998),
    ],
)
def test_prices_too_small_for_the_page_or_not_on_it_are_as_they_are_published(
    price: str, units: float, dollars: float
) -> None:
    assert cost.total(cost.bill([Usage("a", "idle", {price: units})], PRICES)) == pytest.approx(dollars)


def test_the_free_tier_of_x_ray_is_as_in_its_worked_example() -> None:
    """AWS X-Ray pricing, example 1: 2,000 requests an hour, a tenth of them sampled, 31 days."""
    traces = 2_000 * 24 * 31 * 0.10
    assert cost.total(cost.bill([Usage("a", "idle", {"xray.trace": traces})], PRICES, free_tier=True)) == (
        pytest.approx(0.244)
    )


def page_stages() -> Mapping[str, Stage]:
    return {name: stage_of(name) for name in cost_report.PAGE_STAGES}


def test_the_page_has_the_tables_as_they_are_made() -> None:
    text = cost_report.PAGE.read_text(encoding="utf-8")
    made = cost_report.page_tables(page_stages())
    assert cost_report.fill(text, made) == text, "run: make cost-tables"
    for name, table in made.items():
        assert f"<!-- shop.cost: {name} -->\n{table}<!-- end -->" in text


def test_the_command_prints_tables_and_json(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def synthesised(stage: str, context: object) -> Mapping[str, synthesis.Template]:
        asked.append((stage, context))
        return synthesise(stage).templates

    monkeypatch.setattr(synthesis, "synthesise", synthesised)
    words = ["cost", "--orders-per-day", "1000", "-c", "log_retention_days=7"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0
    assert "What would be cheaper" in shown.stdout
    found = json.loads(CliRunner().invoke(app, [*words, "--stage", "prod", "--json"]).stdout)
    assert found["load_a_month"]["orders"] == pytest.approx(1_000 * DAYS)
    assert found["total"] == pytest.approx(sum(line["dollars"] for line in found["lines"]))
    assert found["total"] == pytest.approx(sum(found["by_system"].values()))
    assert asked == [("dev", ["log_retention_days=7"]), ("prod", ["log_retention_days=7"])]


@pytest.mark.parametrize("many", ["inf", "nan", "10000001", "-1"])
def test_no_more_orders_are_priced_than_list_prices_of_first_tiers_are_for(many: str) -> None:
    refused = CliRunner().invoke(app, ["cost", f"--orders-per-day={many}"])
    assert refused.exit_code == 2
    assert "--orders-per-day" in refused.stderr


def test_the_stage_is_no_setting() -> None:
    with pytest.raises(ShopError, match=r"\A--context: stage=prod is not a setting; name the stage with --stage"):
        synthesis.synthesise("dev", ["stage=prod"])


@pytest.mark.slow
def test_without_node_it_says_who_fetches_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools, "node", lambda: tmp_path / "node")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ShopError, match=r"there is no Node\.js: `make setup`"):
        synthesis.synthesise("dev")


@pytest.mark.slow
def test_a_wrong_setting_is_one_line() -> None:
    with pytest.raises(ShopError, match=r"\Abogus: unknown setting; "):
        synthesis.synthesise("dev", ["bogus=1"])
    with pytest.raises(ShopError, match=r"'bogus' is not name=value"):
        synthesis.synthesise("dev", ["bogus"])
