"""What axe says of a page: every rule in the light theme, and the contrast of its colours in the dark one too."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# A theme changes colours alone, so in the dark only their rule has something to find. The program is in the page by then.
CONTRAST_IN_THE_DARK = "axe.run(document, {runOnly: ['color-contrast'], resultTypes: ['violations']})"


def violations(page: Page) -> list[str]:
    """What is wrong with the page as it stands, all its details opened, in both themes; it is left in the light one."""
    page.evaluate("document.querySelectorAll('details:not(.menu)').forEach(one => { one.open = true; })")
    found = _told("", Axe().run(page, options={"resultTypes": ["violations"]}).response)
    page.emulate_media(color_scheme="dark")
    found += _told("dark: ", page.evaluate(CONTRAST_IN_THE_DARK))
    page.emulate_media(color_scheme="light")
    return found


def _told(theme: str, response: dict) -> list[str]:
    return [
        f"{theme}{one['id']}: {node['target']} {node['failureSummary']}" for one in response["violations"] for node in one["nodes"][:3]
    ]
