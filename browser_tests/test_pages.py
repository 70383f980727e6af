"""The pages of the admin in a browser. Needs Chromium and its driver."""

import dataclasses
import shutil

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import Client
from selenium import webdriver

from django_memsize.reports.build import report_of
from django_memsize.values import (
    Amount,
    CallSite,
    Diff,
    Evaluation,
    NearPeak,
    Summary,
    TypeTotal,
)

WIDE, NARROW = 1400, 400


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(
        options, webdriver.ChromeService(shutil.which("chromedriver") or "chromedriver")
    )
    yield driver
    driver.quit()


@pytest.fixture
def server(transactional_db):
    class Server(StaticLiveServerTestCase):
        databases = "__all__"

    Server.setUpClass()
    yield Server.live_server_url
    Server.tearDownClass()


SITE = CallSite("bank/views.py", 41, "accounts")
NAME = "bank.models.a_module_with_a_long_name.Model"
TYPES = Diff.of(
    (
        *((f"{NAME}{number}", TypeTotal(3090, 300_000 // number)) for number in range(1, 30)),
        ("decreased", TypeTotal(-5, -250_000)),
    ),
    others=12,
    other=TypeTotal(40, 4000),
)
AMOUNT = Amount(50_000, 3_000_000, TYPES)
EVALUATION = Evaluation(
    "bank.Account",
    "instances",
    3090,
    0.03,
    site=SITE,
    sql="SELECT " + ", ".join(f'"bank_account"."column_{number}"' for number in range(20)),
    database="default",
    diff=TYPES,
)
CENSUS = Summary(
    kind="request",
    name="/accounts/<int:pk>/",
    method="GET",
    status=200,
    duration=0.1,
    engine="python",
    instrument="census",
    net=TYPES,
    rss_before=10**8,
    rss_after=10**8 + 10**6,
    rows=9270,
    in_flight=2,
    evaluations=tuple(dataclasses.replace(EVALUATION, depth=depth) for depth in range(3)),
    evaluations_omitted=3,
    evaluations_without_types=4,
)
_AMOUNTS = dict.fromkeys(("allocated", "peak", "alive", "retained"), AMOUNT)
METERED = dataclasses.replace(
    CENSUS,
    instrument="meter",
    net=None,
    garbage=AMOUNT,
    free_lists=AMOUNT,
    near_peak=NearPeak(TYPES, "bank.Account", 3090, SITE),
    evaluations=tuple(dataclasses.replace(each, **_AMOUNTS) for each in CENSUS.evaluations),
    **_AMOUNTS,
)
COUNTED = dataclasses.replace(
    CENSUS,
    instrument="counted",
    net=None,
    evaluations=(dataclasses.replace(EVALUATION, diff=None, times=300),),
)


@pytest.fixture(params=[CENSUS, METERED, COUNTED], ids=lambda summary: summary.instrument)
def report(request, transactional_db):
    report = report_of(request.param)
    report.save()
    return report


@pytest.fixture
def opened(browser, server, report):
    """Open a page of the admin as a superuser, at a width and in a colour scheme."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))

    def opened(path, width, scheme):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        browser.get(f"{server}/admin/login/")
        browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})
        browser.get_log("browser")
        browser.get(server + path)
        return browser

    return opened


PATHS = ["/admin/django_memsize/report/", "/admin/django_memsize/report/{pk}/change/"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_its_window_and_reports_no_error(opened, report, path, width, scheme):
    page = opened(path.format(pk=report.pk), width, scheme)

    assert "/accounts/<int:pk>/" in page.find_element("tag name", "main").text
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert [line for line in page.get_log("browser") if "favicon" not in line["message"]] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(opened, report, scheme):
    page = opened(PATHS[1].format(pk=report.pk), WIDE, scheme)

    ratios = page.execute_script(CONTRASTS)

    assert ratios
    assert min(ratio for _, ratio in ratios) >= 4.5, [row for row in ratios if row[1] < 4.5]


def test_nothing_is_hidden_from_who_has_no_javascript(opened, report):
    page = opened(PATHS[1].format(pk=report.pk), WIDE, "light")
    text = page.find_element("tag name", "main").text

    for part in ("3,090 bank.Account", "bank/views.py:41", "other requests"):
        assert part in text
    assert ("(27 other types)" in text) is (report.instrument != "counted")


# The contrast of each piece of text in the main part with the first opaque background behind it,
# by the formula of https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio
CONTRASTS = """
const channel = value => {
  value /= 255;
  return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
};
const parsed = color => color.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = element => {
  for (; element; element = element.parentElement) {
    const color = parsed(getComputedStyle(element).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
return [...document.querySelectorAll('#content-main *, #content h1')]
  .filter(one => one.checkVisibility() && [...one.childNodes].some(
    node => node.nodeType === 3 && node.textContent.trim()))
  .map(one => {
    const front = light(parsed(getComputedStyle(one).color)), back = light(behind(one));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    return [one.textContent.trim().slice(0, 60), ratio];
  });
"""
