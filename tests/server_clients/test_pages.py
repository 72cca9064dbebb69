"""The server's pages in a browser: the system's Chromium and its driver, where they are."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from served import MODEL, RERANKER

from rushlight import Model, Reranker

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="there is no Chromium with its driver")

TEXTS = ["the cat sat", "a dog ran over the hill"]
WINDOWS = {"desktop": (1280, "light"), "phone": (390, "dark")}


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as browser:
        browser.implicitly_wait(20)
        yield browser


class Page:
    """Page in a window, as its user meets it."""

    def __init__(self, browser) -> None:
        self.browser = browser

    def all(self, selector: str) -> list:
        return self.browser.find_elements("css selector", selector)

    def fill(self, selector: str, text: str) -> None:
        [field] = self.all(selector)
        field.clear()
        field.send_keys(text)

    def click(self, selector: str) -> None:
        self.all(selector)[0].click()

    def text(self, selector: str) -> str:
        return self.all(selector)[0].text

    def table(self, name: str) -> list[list[str]]:
        return [[cell.text for cell in row.find_elements("css selector", "th, td")] for row in self.all(f"#{name} tr")]

    def width(self) -> int:
        return self.browser.execute_script("return document.documentElement.scrollWidth")


@pytest.fixture(params=WINDOWS)
def page(browser, request):
    """A page that raises nothing and is no wider than its window."""
    width, scheme = WINDOWS[request.param]
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    page = Page(browser)
    yield page
    assert page.width() <= width
    # Refused requests are logged, too.
    assert [entry for entry in browser.get_log("browser") if entry["source"] == "javascript"] == []


def test_texts_are_embedded_and_compared(page: Page, url: str) -> None:
    page.browser.get(url)
    page.fill("#key", "secret")
    page.fill("#texts", "\n".join([*TEXTS, "", "  "]))
    page.click("#embed button")
    rows = page.table("heat")
    assert [row[0] for row in rows] == TEXTS
    embeddings = Model(MODEL).encode(TEXTS, normalize_embeddings=True)
    scores = [[float(score) for score in row[1:]] for row in rows]
    np.testing.assert_allclose(scores, embeddings @ embeddings.T, atol=0.006)
    colours = [cell.value_of_css_property("background-color") for cell in page.all("#heat td")]
    assert colours[0] == colours[3] != colours[1] == colours[2]
    assert page.text("#models") == "mine, ranks"


def test_documents_are_ranked(page: Page, url: str) -> None:
    page.browser.get(url)
    page.fill("#key", "secret")
    page.fill("#query", "a cat")
    page.fill("#documents", "\n".join(TEXTS))
    page.click("#rerank button")
    ranked = Reranker(RERANKER).rank("a cat", TEXTS, activation_fn="sigmoid")
    rows = page.table("ranks")
    assert [row[1] for row in rows] == [TEXTS[hit["corpus_id"]] for hit in ranked]
    np.testing.assert_allclose([float(row[0]) for row in rows], [hit["score"] for hit in ranked], atol=1e-4)


def test_errors_are_shown(page: Page, url: str) -> None:
    page.browser.get(url)
    for form in ("embed", "rerank"):
        page.click(f"#{form} button")
        [error] = page.browser.find_elements("xpath", f"//*[@id='{form}-error'][contains(., 'API key')]")
        assert error.is_displayed()


def test_long_texts_fit_the_window(page: Page, url: str) -> None:
    page.browser.get(url)
    page.fill("#key", "secret")
    page.fill("#texts", "\n".join(f"{i} " + "a-word-without-an-end" * 20 for i in range(10)))
    page.click("#embed button")
    assert len(page.table("heat")) == 10
    page.fill("#documents", "a-word-without-an-end" * 20)
    page.click("#rerank button")
    assert len(page.table("ranks")) == 1


def test_routes_are_listed(page: Page, url: str) -> None:
    page.browser.get(f"{url}/docs")
    paths = [code.text for code in page.all("summary code")]
    assert "/v1/embeddings" in paths
    page.all("summary")[paths.index("/v1/rerank")].click()
    assert "query *" in page.text("details[open]")
