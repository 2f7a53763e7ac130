"""The pictures of the README, from a real run: `python -m tests.browser.pictures FOLDER`.

An installation of its own carries out the sample plan; its batch is drawn while stage 2 runs, and filmed from then to its
end; the rest is drawn then.
"""

import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import chromium
from tests.installation import ROOT, Installation

SIZE = {"width": 1280, "height": 860}
WITHIN_MS = 150_000
FILM = {"width": 960, "height": 640}
FRAMES, FRAME_MS, LAST_MS, BETWEEN_MS = 12, 900, 3_000, 400
PNG = b"\x89PNG\r\n\x1a\n"


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
    page = browser.new_context(viewport=SIZE).new_page()
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
    (folder / "batch-running.png").write_bytes(animated(film(page.context.new_page(), f"{made.url}/batches/1/")))
    page.goto(f"{made.url}/batches/1/")
    expect(page.locator("h1 + .pill")).to_contain_text("succeeded", timeout=WITHIN_MS)
    plan = page.get_by_role("link", name="plan, version 1").get_attribute("href")
    picture("phase-gates", "/batches/1/phases/3/?tab=gates")
    picture("plan", str(plan))


def film(page: Page, address: str) -> list[bytes]:
    """Pictures of the page until its batch has ended: only what differs, and of that at most FRAMES."""
    page.set_viewport_size(FILM)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(address)
    frames = [page.screenshot()]
    while "running" in page.locator("h1 + .pill").inner_text():
        page.wait_for_timeout(BETWEEN_MS)
        if (seen := page.screenshot()) != frames[-1]:
            frames.append(seen)
    if len(frames) <= FRAMES:
        return frames
    return [frames[place * (len(frames) - 1) // (FRAMES - 1)] for place in range(FRAMES)]


def animated(frames: Sequence[bytes]) -> bytes:
    """One animated PNG of PNGs of one size and kind: their own data, with its order and times beside it."""
    head = next(data for kind, data in chunks(frames[0]) if kind == b"IHDR")
    made, number = [chunk(b"IHDR", head), chunk(b"acTL", struct.pack(">II", len(frames), 0))], 0
    for place, frame in enumerate(frames):
        shown = LAST_MS if place == len(frames) - 1 else FRAME_MS
        made.append(chunk(b"fcTL", struct.pack(">I", number) + head[:8] + struct.pack(">IIHHBB", 0, 0, shown, 1000, 0, 0)))
        number += 1
        for kind, data in chunks(frame):
            if kind == b"IDAT" and place:
                made.append(chunk(b"fdAT", struct.pack(">I", number) + data))
                number += 1
            elif kind == b"IDAT":
                made.append(chunk(b"IDAT", data))
    return PNG + b"".join(made) + chunk(b"IEND", b"")


def chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(PNG)
    while place < len(picture):
        (length,) = struct.unpack_from(">I", picture, place)
        yield picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        place += 12 + length


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
