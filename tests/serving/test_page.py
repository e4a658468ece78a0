"""The page in a real browser: everything that a person can do with it, by mouse and by keyboard, wide and narrow."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from bridgetower.cli import main
from bridgetower.serving.application import build_application
from bridgetower.serving.request_limits import Limits
from bridgetower.serving.served_model import ServedModel
from tests.serving.live_server import running

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    BROWSER is None, reason="no browser to drive the page with; Debian, Ubuntu: apt-get install chromium")]

Folders = Callable[[str], Path]
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
# A busy machine takes its time, and where all is well nothing waits for so long.
SECONDS = 60
expect.set_options(timeout=1000 * SECONDS)
NO_PICTURE = "Choose a picture first."
SILENT = "The server does not answer. Is it still running?"


@pytest.fixture(scope="module")
def model(saved: Folders, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """A model that has the heads of two, so that one server shows every tab."""
    index = tmp_path_factory.mktemp("page") / "index"
    assert main(["index", str(saved("pretrain")), str(pictures[0].parent), "--output", str(index)]) == 0
    model = ServedModel(saved("pretrain"), index)
    model.pipelines = {**ServedModel(saved("vqa")).pipelines, **model.pipelines}
    return model


@pytest.fixture(scope="module")
def address(model: ServedModel) -> Iterator[str]:
    with running(build_application(model, Limits(max_bytes=400_000))) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page in a wide window; whatever it throws fails the test."""
    thrown: list[Any] = []
    with browser.new_page(viewport=WIDE, reduced_motion="reduce") as page:
        page.set_default_timeout(1000 * SECONDS)
        page.on("pageerror", lambda error: thrown.append(error))
        page.goto(address)
        expect(page.get_by_role("tab").first).to_be_visible()
        yield page
    assert not thrown


def upload(page: Page, path: Path | dict[str, Any]) -> None:
    page.set_input_files("#file", path)
    expect(page.locator("#preview")).to_be_visible()


def run(page: Page, tab: str, text: str) -> None:
    page.get_by_role("tab", name=tab).click()
    page.fill("#text", text)
    page.keyboard.press("Enter")


def says(page: Page, message: str) -> None:
    expect(page.get_by_role("alert")).to_have_text(message)


def bars(page: Page) -> list[tuple[str, float]]:
    """The labels and the shares in percent of a result."""
    expect(page.locator(".answer").first).to_be_visible()
    lines = [line.locator("span").all_inner_texts() for line in page.locator(".answer").all()]
    return [(label, float(share.removesuffix(" %"))) for label, share in lines]


def equals(found: list[tuple[str, float]], expected: list[dict[str, Any]], label: str) -> None:
    assert [name for name, _ in found] == [one[label] for one in expected]
    assert [share for _, share in found] == pytest.approx([100 * one["score"] for one in expected], abs=0.06)


def test_ask(page: Page, model: ServedModel, pictures: list[Path]) -> None:
    upload(page, pictures[0])
    run(page, "Ask", "what is this?")
    equals(bars(page), model.pipelines["visual-question-answering"](pictures[0], "what is this?"), "answer")
    assert page.locator("#file-name").inner_text() == pictures[0].name


def test_match(page: Page, model: ServedModel, pictures: list[Path]) -> None:
    upload(page, pictures[1])
    run(page, "Match", "a red square; blue ;")
    equals(bars(page), model.pipelines["image-text-matching"](pictures[1], ["a red square", "blue"]), "text")


def test_fill(page: Page, model: ServedModel, pictures: list[Path]) -> None:
    upload(page, pictures[1])
    run(page, "Fill", "a <mask> square")
    equals(bars(page), model.pipelines["fill-mask"](pictures[1], "a <mask> square"), "sequence")
    run(page, "Fill", "no gap")
    says(page, "'no gap' has no <mask>.")


def test_classify_with_the_example(page: Page, model: ServedModel, pictures: list[Path]) -> None:
    """An empty field stands for the example that it shows."""
    upload(page, pictures[1])
    run(page, "Classify", "")
    labels = ["circle", "square", "triangle"]
    equals(bars(page), model.pipelines["zero-shot-image-classification"](pictures[1], labels), "label")
    assert page.input_value("#text") == "circle, square, triangle"


def test_search(page: Page, pictures: list[Path]) -> None:
    run(page, "Search", "")
    says(page, "Write what to look for, or choose a picture.")
    run(page, "Search", "a red square")
    found = page.locator(".grid figure")
    expect(found).to_have_count(7)
    page.check("#rerank")
    with page.expect_response("**/search") as response:
        page.click("#go")
    names = [one["name"] for one in response.value.json()["results"]]
    expect(found.first.locator("img")).to_have_attribute("alt", names[0])
    chosen = found.nth(3).locator("button")
    chosen.click()
    expect(page.locator("#file-name")).to_have_text(names[3])
    page.click("#go")  # the picture alone: nothing is nearer than itself
    expect(found.first.locator("img")).to_have_attribute("alt", names[3])
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#preview")).to_be_hidden()


def test_explain(page: Page, pictures: list[Path]) -> None:
    """A picture, which can be kept."""
    upload(page, pictures[0])
    run(page, "Explain", "a red square")
    expect(page.locator(".shown")).to_be_visible()
    page.wait_for_function("document.querySelector('.shown').naturalWidth > 300")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save the picture").click()
    assert saved.value.suggested_filename == "explained.png"


def test_drop_and_paste(page: Page, pictures: list[Path]) -> None:
    for event, target in (("drop", "#drop"), ("paste", "body")):
        page.evaluate("""([event, target, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], `${event}.png`, {type: "image/png"}));
            const made = event === "drop" ? new DragEvent(event, {dataTransfer: data, bubbles: true})
                                          : new ClipboardEvent(event, {clipboardData: data, bubbles: true});
            document.querySelector(target).dispatchEvent(made);
        }""", [event, target, list(pictures[0].read_bytes())])
        expect(page.locator("#file-name")).to_have_text(f"{event}.png")


@pytest.mark.parametrize("name, kind, content, message", [
    ("notes.txt", "text/plain", b"x", "notes.txt is not a picture."),
    ("broken.png", "image/png", b"x", "The browser cannot show this picture."),
    ("large.png", "image/png", b"0" * 900_000, "The picture has 0.9 MB, more than the 0.3 MB that the server takes."),
])
def test_unusable_files(name: str, kind: str, content: bytes, message: str, page: Page) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})
    says(page, message)
    run(page, "Ask", "what is this?")
    says(page, NO_PICTURE)
    expect(page.locator("#file")).to_be_focused()


@pytest.mark.parametrize("answer, message", [
    ({"status": 503, "json": {"detail": "128 requests wait already"}}, "The server is busy. Try again in a moment."),
    ({"status": 504, "json": {"detail": "no answer within 60 seconds"}}, "No answer within 60 seconds."),
    ({"status": 422, "json": {"detail": [{"msg": "too short"}]}}, "The request was refused: too short."),
    ({"status": 500, "body": "Internal Server Error"}, "The server failed (500)."),
    (None, SILENT),
])
def test_errors_of_the_server(answer: dict[str, Any] | None, message: str, page: Page, pictures: list[Path]) -> None:
    page.route("**/ask", lambda route: route.fulfill(**answer) if answer else route.abort())
    upload(page, pictures[0])
    run(page, "Ask", "what is this?")
    says(page, message)
    expect(page.locator("#go")).to_be_enabled()


def test_the_server_is_not_there(page: Page) -> None:
    page.route("**/health", lambda route: route.abort())
    page.reload()
    says(page, SILENT)
    expect(page.locator("#about")).to_have_text("not connected")


def test_an_answer_that_is_no_longer_wanted(page: Page, pictures: list[Path]) -> None:
    """Another tab was chosen while the model worked: what it says then is not shown there."""
    held: list[Route] = []
    page.route("**/ask", lambda route: held.append(route))
    upload(page, pictures[0])
    with page.expect_request("**/ask"):
        run(page, "Ask", "what is this?")
    expect(page.locator("#go")).to_be_disabled()
    page.get_by_role("tab", name="Match").click()
    expect(page.locator("#go")).to_be_enabled()
    with page.expect_response("**/ask"):
        held[0].continue_()
    page.wait_for_timeout(50)
    expect(page.locator("#results")).to_be_empty()


def test_keyboard_only(page: Page, pictures: list[Path]) -> None:
    """From the top of the page to an answer without a mouse."""
    # Listened to from the start: a dialog that opens before the browser has heard that someone waits is never seen.
    page.on("filechooser", lambda chooser: None)
    press, focused = page.keyboard.press, page.locator(":focus")
    press("Tab")
    expect(focused).to_have_text("API")
    press("Tab")
    expect(focused).to_have_id("file")
    with page.expect_file_chooser() as chooser:
        press("Space")
    chooser.value.set_files(pictures[0])
    expect(page.locator("#preview")).to_be_visible()
    press("Tab")
    expect(focused).to_have_text("Remove")
    press("Tab")
    for key, name in ((None, "Ask"), ("ArrowRight", "Match"), ("End", "Explain"), ("ArrowRight", "Ask"),
                      ("ArrowLeft", "Explain"), ("Home", "Ask")):
        if key:
            press(key)
        expect(focused).to_have_text(name)
        assert focused.get_attribute("aria-selected") == "true"
    outline = focused.evaluate("tab => getComputedStyle(tab).outlineStyle")
    assert outline == "solid", "one sees where the focus is"
    press("Tab")
    page.keyboard.type("what is this?")
    press("Enter")
    assert len(bars(page)) == 5


def test_the_api_page_needs_no_network(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="API").click()
    expect(page.locator(".swagger-ui .opblock").first).to_be_visible()
    assert asked and all(url.startswith((address, "data:", "blob:")) for url in asked), asked


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("tab", ["Ask", "Search", "Explain"])
def test_windows(tab: str, size: Any, page: Page, pictures: list[Path]) -> None:
    """Side by side or one below the other, with nothing outside of the window."""
    page.set_viewport_size(size)
    upload(page, pictures[0])
    run(page, tab, "what is this? " + "long" * 30)
    expect(page.locator("#results > *").first).to_be_visible()
    picture, task = (section.bounding_box() for section in page.locator("section").all())
    assert picture and task
    assert (task["x"] > picture["x"] + picture["width"]) == (size is WIDE)
    assert (task["y"] > picture["y"] + picture["height"]) == (size is NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    for shown in page.locator("button:visible, input:visible").all():
        box = shown.bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= size["width"]
