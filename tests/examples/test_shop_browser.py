"""The shop's page in a real browser: what a visitor does, by mouse and keyboard, and what a screen reader is told."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.examples.shop_program import running

playwright = pytest.importorskip(
    "playwright.async_api", reason="the shop's page is tested with playwright: pip install playwright"
)
expect = playwright.expect
expect.set_options(timeout=30_000)  # ms

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no browser: apt install chromium tests the shop's page too"
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running("--delay", "30", REDISOM_URL="embedded://") as found:
        yield found


@pytest.fixture
async def page(address: str) -> AsyncIterator[Any]:
    """The page, freshly opened by somebody new. It may ask nobody else, and may not complain."""
    complaints: list[str] = []
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = await browser.new_page(viewport={"width": 1400, "height": 900})
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda line: complaints.append(line.text) if is_complaint(line) else None)
        opened.on(
            "request", lambda asked: None if asked.url.startswith(address) else complaints.append(asked.url)
        )
        await opened.goto(address)
        await expect(opened.locator(".card")).to_have_count(12)
        yield opened
        await browser.close()
    assert complaints == []


def is_complaint(line: Any) -> bool:
    return line.type == "error" and "status of 409" not in line.text  # of an order that is refused


async def names(page: Any) -> list[str]:
    return [name.strip() for name in await page.locator(".card .open").all_text_contents()]


async def test_search_box_and_filters(page: Any) -> None:
    await page.get_by_label("Search for a product").fill("uji")
    await expect(page.locator(".card")).to_have_count(2)
    assert await names(page) == ["Gyokuro", "Matcha"]
    await page.get_by_label("to", exact=True).fill("30")
    await page.get_by_label("to", exact=True).press("Tab")
    await expect(page.locator(".card")).to_have_count(1)
    await expect(page.get_by_role("status").first).to_contain_text("1 product,")
    await page.reload()  # the address says what was asked
    await expect(page.locator(".card")).to_have_count(1)
    await page.get_by_role("button", name="Clear all filters").click()
    await expect(page.locator(".card")).to_have_count(12)
    await page.locator("#tags label", has_text="green").click()
    await page.locator("#tags label", has_text="mild").click()
    await expect(page.locator(".card")).to_have_count(1)
    assert await names(page) == ["Longjing"]


async def test_sorting_and_more(page: Any) -> None:
    await page.get_by_label("Sort by").select_option("-price")
    await expect(page.locator(".card .open").first).to_have_text("Hand Grinder")
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator(".card")).to_have_count(24)
    assert len(set(await names(page))) == 24


async def test_cart_and_buying(page: Any) -> None:
    await page.get_by_label("Search for a product").fill("earl")
    await expect(page.locator(".card")).to_have_count(1)
    add = page.get_by_role("button", name="Add Earl Grey to the cart")
    await add.evaluate("(button) => { button.click(); button.click(); }")
    await expect(page.locator("#count")).to_have_text("2")
    await expect(page.locator("#total")).to_have_text("€15.60")
    await page.get_by_label("Pieces of Earl Grey").fill("3")
    await page.get_by_label("Pieces of Earl Grey").press("Enter")
    await expect(page.locator("#total")).to_have_text("€23.40")
    await page.get_by_role("button", name="Buy").click()
    await expect(page.locator("#news")).to_have_text("Thank you! €23.40 paid.")
    await expect(page.locator("#count")).to_have_text("0")
    await expect(page.locator(".card .stock")).to_have_text("57 in stock")
    await expect(page.locator("#best")).to_contain_text("Earl Grey3")


async def test_buying_more_than_there_is_says_so(page: Any) -> None:
    await page.get_by_label("Search for a product").fill("kyusu")
    await page.get_by_role("button", name="Add Kyusu to the cart").click()
    await page.get_by_label("Pieces of Kyusu").fill("6")
    await page.get_by_label("Pieces of Kyusu").press("Enter")
    await expect(page.locator("#count")).to_have_text("6")
    await page.get_by_role("button", name="Buy").click()
    await expect(page.locator("#news")).to_have_text("Kyusu: 5 left")
    await page.get_by_role("button", name="Remove Kyusu").click()
    await expect(page.locator("#empty")).to_be_visible()


async def test_product_opens_and_closes_by_keyboard(page: Any) -> None:
    await page.get_by_label("Search for a product").fill("sencha")
    await expect(page.locator(".card")).to_have_count(1)
    await page.get_by_role("button", name="Sencha Fukamushi", exact=True).focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Sencha Fukamushi")
    await expect(dialog).to_contain_text("Steamed long")
    await expect(dialog).to_contain_text(re.compile(r"Answered in [\d.]+ ms"))
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("button", name="Sencha Fukamushi", exact=True).first).to_be_focused()
    await expect(page.locator("#viewed")).to_have_text("Sencha Fukamushi")


async def test_new_price_shows_at_once(page: Any) -> None:
    await page.get_by_label("Search for a product").fill("chamomile")
    await page.get_by_role("button", name="Chamomile", exact=True).click()
    await page.get_by_text("Behind the counter").click()
    await page.get_by_label("New price").fill("3.30")
    await page.get_by_role("button", name="Change").click()
    await expect(page.locator("#dialog-price")).to_have_text("€3.30")
    await page.keyboard.press("Escape")
    await expect(page.locator(".card .price")).to_have_text("€3.30")


async def test_live_figures_tell_of_caches_and_memory(page: Any) -> None:
    for _ in range(2):
        await page.get_by_role("button", name="Darjeeling First Flush", exact=True).first.click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
    await expect(page.locator("#caches")).to_contain_text(
        re.compile(r"Cache of product details.*[1-9]\d* hits")
    )
    await expect(page.locator("#figures")).to_contain_text(re.compile(r"Memory of Redis[\d.]+ MB"))


async def test_everything_that_can_be_used_has_a_name(page: Any) -> None:
    await page.get_by_role("button", name="Assam Mokalbari", exact=True).click()
    await page.get_by_role("button", name="Add to cart").click()
    await expect(page.locator("#count")).to_have_text("1")
    session = await page.context.new_cdp_session(page)
    nodes = (await session.send("Accessibility.getFullAXTree"))["nodes"]
    usable = {
        "button",
        "link",
        "textbox",
        "searchbox",
        "spinbutton",
        "checkbox",
        "radio",
        "combobox",
        "image",
    }
    seen = [node for node in nodes if not node["ignored"] and node.get("role", {}).get("value") in usable]
    assert len(seen) > 40
    assert [node["role"]["value"] for node in seen if not node.get("name", {}).get("value")] == []
    headings = [
        int(each["value"]["value"])
        for node in nodes
        if node.get("role", {}).get("value") == "heading"
        for each in node["properties"]
        if each["name"] == "level"
    ]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


async def test_narrow_and_dark_the_page_fits(page: Any, address: str) -> None:
    await page.emulate_media(color_scheme="dark")
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.goto(address)
    await expect(page.locator(".card").first).to_be_in_viewport()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_text("Filters", exact=True).click()
    await expect(page.get_by_label("In stock only")).to_be_visible()
