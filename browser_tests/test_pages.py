"""The pages of the admin as a person sees them. Needs Chromium and its driver."""

import shutil

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import Client
from selenium import webdriver

from django_memsize.models import Report
from django_memsize.reports import serialization
from django_memsize.values import CallSite, Diff, Evaluation, NearPeak, TypeTotal

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


@pytest.fixture(params=["census", "meter"])
def report(request, transactional_db):
    name = "bank.models.a_module_with_a_long_name.Model"
    rows = [(f"{name}{number}", TypeTotal(3090, 300_000 // number)) for number in range(1, 30)]
    types = Diff.of(
        (*rows, ("gone", TypeTotal(-5, -500))),
        others=12,
        other=TypeTotal(40, 4000),
    )
    metered = request.param == "meter"
    measures = (
        ("allocated", "peak", "alive", "retained", "garbage", "free_lists") if metered else ()
    )
    columns = {f"{name}_{unit}": 3_000_000 for name in measures for unit in ("bytes", "blocks")}
    site = CallSite("bank/views.py", 41, "accounts")
    moment = NearPeak("bank.Account", 3090, site, types)
    left = {"garbage": types, "free_lists": types, "moment": moment}
    loadings = [
        Evaluation(
            "bank.Account",
            "instances",
            3090,
            0.03,
            site,
            sql="SELECT " + ", ".join(f'"bank_account"."column_{n}"' for n in range(20)),
            database="default",
            depth=depth,
            types=types,
            **dict.fromkeys(
                ("allocated", "peak", "alive", "retained") if metered else (), 3_000_000
            ),
        )
        for depth in range(3)
    ]
    return Report.objects.create(
        kind="request",
        route="/accounts/<int:pk>/",
        method="GET",
        status=200,
        started_at="2026-01-01T00:00:00Z",
        duration=0.1,
        engine="python",
        instrument=request.param,
        net_bytes=3_000_000,
        net_objects=3090,
        rss_before=10**8,
        rss_after=10**8 + 10**6,
        rows=9270,
        in_flight=2,
        largest_evaluation_bytes=3_000_000,
        types=serialization.tables_document(types, **left)
        if metered
        else serialization.types_document(types),
        **columns,
        evaluations=serialization.loadings_document(loadings, omitted=3, unmeasured=4),
    )


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
@pytest.mark.parametrize("scheme", ["counted", "dark"])
def test_a_page_fits_its_window_and_reports_no_error(opened, report, path, width, scheme):
    page = opened(path.format(pk=report.pk), width, scheme)

    assert "/accounts/<int:pk>/" in page.find_element("tag name", "main").text
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert [line for line in page.get_log("browser") if "favicon" not in line["message"]] == []


@pytest.mark.parametrize("scheme", ["counted", "dark"])
def test_text_stands_out_from_what_is_behind_it(opened, report, scheme):
    page = opened(PATHS[1].format(pk=report.pk), WIDE, scheme)

    ratios = page.execute_script(CONTRASTS)

    assert ratios
    assert min(ratio for _, ratio in ratios) >= 4.5, [row for row in ratios if row[1] < 4.5]


def test_nothing_is_hidden_from_who_has_no_javascript(opened, report):
    page = opened(PATHS[1].format(pk=report.pk), WIDE, "counted")
    text = page.find_element("tag name", "main").text

    for part in ("3,090 bank.Account at bank/views.py:41", "other requests", "other types)"):
        assert part in text


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
