"""The pictures of the README, from a real run: `python -m tests.browser.pictures FOLDER`.

An installation of its own carries out the sample plan; its batch is drawn while stage 2 runs, the rest at the end.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import chromium
from tests.installation import ROOT, Installation

SIZE = {"width": 1280, "height": 860}
WITHIN_MS = 150_000


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        made = Installation(Path(scratch) / "installation")
        try:
            made.bootstrap()
            made.start(seconds=90)
            page = sign_in(browser, made)
            draw(page, made, folder)
        finally:
            made.remove()


def sign_in(browser: Browser, made: Installation) -> Page:
    page = browser.new_page(viewport=SIZE)
    page.goto(made.sign_in_link)
    page.get_by_role("button", name="Sign in").click()
    return page


def draw(page: Page, made: Installation, folder: Path) -> None:
    def picture(name: str, path: str, *, theme: str = "light") -> None:
        page.emulate_media(color_scheme=theme)
        if path:  # else the page that is open
            page.goto(made.url + path)
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    made.manage("batch_gen_prp", str(ROOT / "examples" / "plans" / "text-statistics.md"))
    made.manage("batch_exe_prp", "--batch", "1", "--detach")
    page.goto(f"{made.url}/batches/1/")
    expect(page.locator("#stage-2 > summary .pill")).to_have_text("◐running", timeout=WITHIN_MS)
    expect(page.locator("#stage-2 .phase .meter").first).to_be_visible(timeout=WITHIN_MS)
    picture("batch", "")
    picture("batch-dark", "", theme="dark")
    expect(page.locator("h1 + .pill")).to_contain_text("succeeded", timeout=WITHIN_MS)
    plan = page.get_by_role("link", name="plan, version 1").get_attribute("href")
    picture("phase-gates", "/batches/1/phases/3/?tab=gates")
    picture("plan", str(plan))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
