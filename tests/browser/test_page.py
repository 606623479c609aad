"""The page in a real browser, on the demo's street."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import psycopg
import pytest
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

import vsdb
from tests import clips
from tests.serving import Served, serving
from vsdb.demo import CLIP, true_intervals
from vsdb.media.video import VideoReader
from vsdb.readable import clock

Open = Callable[..., Page]
ODD_NAME = "<img src=x onerror=alert(1)> \"'&amp;<script>alert(2)</script>.mp4".replace("/", "_")


def search(page: Page, prompt: str) -> Locator:
    page.get_by_label("What to look for").fill(prompt)
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text(prompt)
    expect(page.locator("#results")).not_to_have_class("results waiting")
    return page.locator("#results .card")


def film(page: Page, expression: str) -> Any:
    return page.evaluate(f"() => {{ const film = document.getElementById('film'); return {expression}; }}")


def wait_for_time(page: Page, low: float, high: float) -> None:
    page.wait_for_function(
        """([low, high]) => { const film = document.getElementById('film');
            return film.readyState > 1 && !film.seeking && film.currentTime >= low && film.currentTime <= high; }""",
        arg=[low, high],
    )


def test_a_search_shows_pictures_with_the_box_in_its_place(
    open_page: Open, served: Served, street_index: vsdb.Index
) -> None:
    page = open_page(served.base)
    expect(page.locator("#status")).to_contain_text("1 video, 1:00.0 in all")
    cards = search(page, "a red car")
    wanted = street_index.search("a red car", max_moments=12)
    expect(cards).to_have_count(len(wanted))
    for card, moment in zip(cards.all(), wanted, strict=True):
        card.scroll_into_view_if_needed()
        page.wait_for_function("image => image.naturalWidth > 0", arg=card.locator("img").element_handle())
        frame, box = card.locator(".frame").bounding_box(), card.locator(".box").bounding_box()
        assert frame
        assert box
        scale = frame["width"] / 1280
        assert frame["height"] / scale == pytest.approx(720, abs=3)
        found = [(box["x"] - frame["x"]), (box["y"] - frame["y"]), box["width"], box["height"]]
        assert [each / scale for each in found] == pytest.approx(list(moment.box), abs=3)
        expect(card).to_contain_text(f"{clock(moment.start_seconds)} – {clock(moment.end_seconds)}")
        expect(card).to_contain_text("street.mp4")
        expect(card).to_contain_text(f"score {moment.score:.1f}, z {moment.z:.1f}")


def test_the_list_of_videos_never_replaces_an_answer(open_page: Open, served: Served) -> None:
    page = open_page(served.base)
    page.add_init_script("""const ask = window.fetch;
        window.fetch = (address, ...rest) => {
            if (!address.startsWith("/api/videos")) return ask(address, ...rest);
            const late = new Promise((resolve) => (window.release = resolve)).then(() => ask(address, ...rest));
            window.settled = late.then(() => "came", (error) => error.name);
            return late;
        };""")
    page.reload()
    cards = search(page, "a car")
    count = cards.count()
    seen = page.evaluate("""async () => {
        window.release();
        const end = await window.settled;
        await new Promise((resolve) => setTimeout(resolve, 200));
        return end;
    }""")
    expect(page.locator("#status")).to_contain_text("a car")
    assert cards.count() == count > 1
    assert seen == "AbortError"


def test_an_image_that_comes_late_never_replaces_a_newer_question(open_page: Open, served: Served) -> None:
    page = open_page(served.base)
    expect(page.locator("#status")).to_contain_text("1 video, 1:00.0 in all")  # else it comes after "Looking at"
    held: list[Route] = []
    page.route("**/api/images*", lambda route: held.append(route))
    picture = FilePayload(name="any.png", mimeType="image/png", buffer=b"the answer does not come from the server")
    page.get_by_label("Search by image").set_input_files(picture)
    expect(page.locator("#status")).to_contain_text("Looking at the image")
    search(page, "a red car")
    with page.expect_response("**/api/images*"):
        held[0].fulfill(json={"image": "late"})
    page.wait_for_timeout(200)
    expect(page.locator("#status")).to_contain_text("a red car")
    assert "image" not in page.url


def test_a_click_plays_the_video_at_the_moment(open_page: Open, served: Served, street_index: vsdb.Index) -> None:
    page = open_page(served.base)
    statuses: list[int] = []
    page.on("response", lambda response: statuses.append(response.status) if "/api/video/" in response.url else None)
    moment = street_index.search("a red car")[0]
    search(page, "a red car").first.click()
    wait_for_time(page, moment.start_seconds - 1.1, moment.end_seconds)
    assert film(page, "film.currentTime") < moment.start_seconds + 3
    assert (film(page, "film.videoWidth"), film(page, "film.error")) == (1280, None)
    page.wait_for_function("() => !document.getElementById('film').paused")
    assert set(statuses) == {206}
    film(page, f"film.pause(), film.currentTime = {moment.best_seconds}")
    expect(page.locator("#mark")).to_be_visible()
    stage, box = page.locator("#stage").bounding_box(), page.locator("#mark").bounding_box()
    assert stage
    assert box
    assert (box["x"] - stage["x"]) / stage["width"] * 1280 == pytest.approx(moment.box[0], abs=4)
    x, y, width, height = moment.box
    assert share_of_red(page, x, y, width, height) > 0.15
    film(page, f"film.currentTime = {moment.best_seconds + 20}")
    expect(page.locator("#mark")).to_be_hidden()


def share_of_red(page: Page, *box: int) -> float:
    """How much of a box of the video's picture is as red as the car."""
    wait_for_time(page, 0, 1e9)
    data: float = page.evaluate(
        """([x, y, width, height]) => {
            const paper = new OffscreenCanvas(width, height).getContext("2d");
            paper.drawImage(document.getElementById("film"), x, y, width, height, 0, 0, width, height);
            const { data } = paper.getImageData(0, 0, width, height);
            let red = 0;
            for (let i = 0; i < data.length; i += 4) red += data[i] > 180 && data[i + 1] < 90 && data[i + 2] < 90;
            return red / (width * height);
        }""",
        list(box),
    )
    return data


def test_the_strip_shows_the_scores_and_leads_there(open_page: Open, served: Served) -> None:
    page = open_page(f"{served.base}/?q=a+red+car&play=1&t=0")
    strip = page.get_by_role("slider", name="Where else in this video")
    expect(strip).to_be_visible()
    place = strip.bounding_box()
    assert place
    page.mouse.move(place["x"] + place["width"] * 0.6, place["y"] + 20)
    expect(page.locator(".peek")).to_contain_text("0:36.0")
    page.mouse.click(place["x"] + place["width"] * 0.6, place["y"] + 20)
    wait_for_time(page, 35.5, 37)
    film(page, "film.pause()")
    strip.press("ArrowRight")
    wait_for_time(page, 40, 42.5)
    expect(strip).to_have_attribute("aria-valuetext", re.compile(r"0:4\d\.\d, score \d"))
    # The curve is highest where the car is.
    points = [part.split(" ") for part in page.locator(".curve").get_attribute("d").strip("MZ").split("L")]  # type: ignore[union-attr]
    top = min(points[1:-1], key=lambda point: float(point[1]))
    start, end = true_intervals()["a red car"]
    assert start <= float(top[0]) / 1000 * 60 <= end


def test_it_says_when_nothing_matches(open_page: Open, served: Served) -> None:
    page = open_page(served.base)
    cards = search(page, "an airplane")
    expect(page.locator("#status")).to_contain_text("Nothing matches “an airplane”; the nearest is street.mp4 at 0:")
    expect(cards).to_have_count(1)


def test_weaker_moments_are_shown_when_asked_for(open_page: Open, served: Served) -> None:
    page = open_page(served.base)
    search(page, "an airplane")
    page.get_by_role("button", name="Show weaker").click()
    expect(page.locator("#status")).to_contain_text("for “an airplane”, best first")
    expect(page.locator(".card.weak").first).to_be_visible()
    expect(page.get_by_role("button", name="Show weaker")).to_be_hidden()
    cards = search(page, "a laundromat sign")
    expect(cards.first).to_contain_text("likely")
    expect(page.locator(".card.weak")).to_have_count(0)
    assert "weaker" not in page.url


def test_the_address_holds_the_search(open_page: Open, served: Served) -> None:
    page = open_page(served.base)
    search(page, "a dog")
    page.locator(".card").first.click()
    expect(page.locator("#player")).to_be_visible()
    search(page, "a bicycle")
    expect(page.locator("#player")).to_be_hidden()
    page.get_by_text("Filters").click()
    page.get_by_label("From").fill("0:15")
    page.get_by_label("Video", exact=True).fill("street")
    page.keyboard.press("Enter")
    expect(page.locator(".card").first).to_have_attribute("href", re.compile("from=0%3A15"))
    texts = page.locator("#results").inner_text()
    page.reload()
    expect(page.locator("#results")).to_have_text(texts, use_inner_text=True)
    expect(page.get_by_label("From")).to_have_value("0:15")
    expect(page.get_by_label("What to look for")).to_have_value("a bicycle")
    assert page.title() == "a bicycle · vsdb"
    page.go_back()
    page.go_back()
    expect(page.locator("#player")).to_be_visible()
    expect(page.get_by_label("What to look for")).to_have_value("a dog")
    wait_for_time(page, 0, 20)
    page.go_forward()
    expect(page.locator("#player")).to_be_hidden()
    assert film(page, "film.paused")


def test_filters_narrow_and_say_what_they_expect(open_page: Open, served: Served) -> None:
    page = open_page(f"{served.base}/?q=a+bus&from=40")
    expect(page.locator("#results .card .time").first).to_have_text(re.compile(r"0:[45]\d\.\d – "))
    page = open_page(f"{served.base}/?q=a+bus&video=nothing_like_it")
    expect(page.locator("#status")).to_have_text("Nothing matches “a bus” there.")
    page = open_page(f"{served.base}/?q=a+bus&to=soon")
    expect(page.locator("#status")).to_contain_text("times such as")


def test_a_phone_needs_no_sideways_scrolling(open_page: Open, served: Served) -> None:
    for address in ("/", "/?q=a+red+car", "/?q=a+red+car&play=1&t=1&video=street&from=0:00", "/?q=" + "x" * 300):
        page = open_page(served.base + address, width=390, height=844)
        expect(page.locator("#status")).not_to_be_empty()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert (page.get_by_role("button", name="Search", exact=True).bounding_box() or {"height": 0})["height"] >= 40


def test_the_keyboard_is_enough(open_page: Open, served: Served) -> None:
    page = open_page(f"{served.base}/?q=a+dog")
    expect(page.locator(".card").first).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("What to look for")).to_be_focused()
    page.keyboard.type("a car")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("a car")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    second = page.locator(".card").nth(1)
    expect(second).to_be_focused()
    assert second.evaluate("card => getComputedStyle(card).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#player")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    expect(second).to_be_focused()


def test_an_image_is_a_question(open_page: Open, served: Served, street_index: vsdb.Index, tmp_path: Path) -> None:
    moment = street_index.search("a dog")[0]
    with VideoReader(CLIP) as reader:
        frame = next(f for f in reader.sample(every_seconds=1) if f.pts_seconds == moment.best_seconds)
    x, y, width, height = moment.box
    dog = tmp_path / "dog.png"
    cv2.imwrite(str(dog), frame.image[y : y + height, x : x + width, ::-1])
    page = open_page(served.base)
    page.get_by_label("Search by image").set_input_files(dog)
    expect(page.locator("#status")).to_contain_text("for this image", timeout=60_000)
    first = page.locator(".card .time").first.inner_text()
    best = street_index.search(image=dog)[0]
    assert first == f"{clock(best.start_seconds)} – {clock(best.end_seconds)}"
    expect(page.get_by_text("this image", exact=True)).to_be_visible()
    page.get_by_label("Remove the image").click()
    expect(page.locator("#status")).to_contain_text("1 video")
    drop(page, dog.read_bytes(), "image/png")
    expect(page.locator("#status")).to_contain_text("for this image")
    drop(page, b"rubbish", "image/png")
    expect(page.locator("#status")).to_contain_text("not a picture")


def drop(page: Page, data: bytes, kind: str) -> None:
    transfer = page.evaluate_handle(
        """([bytes, type]) => { const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], 'dropped', { type })); return transfer; }""",
        [list(data), kind],
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("#drop")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(page.locator("#drop")).to_be_hidden()


@pytest.fixture
def odd(dsn: str, tmp_path: Path) -> Iterator[tuple[Served, Path]]:
    """A server on one video with a name that is markup."""
    path = clips.write_video(tmp_path / ODD_NAME, range(0, 3000, 500))
    with vsdb.connect(dsn=dsn, model="tiny", device="cpu") as index:
        index.ingest([path])
    with serving(VSDB_DSN=dsn) as running:
        yield running, path


def test_names_are_text_and_a_video_that_is_gone_is_said_so(open_page: Open, odd: tuple[Served, Path]) -> None:
    served, path = odd
    page = open_page(served.base)
    expect(page.locator(".card .where")).to_have_text(ODD_NAME)
    page.goto(f"{served.base}/?q=%3Cimg+src%3Dx+onerror%3Dalert(3)%3E")
    expect(page.locator("#status")).to_contain_text("<img src=x onerror=alert(3)>")
    expect(page.locator(".card .where").first).to_have_text(ODD_NAME)
    page.locator(".card").first.click()
    wait_for_time(page, 0, 3)
    expect(page.locator("#path")).to_have_text(str(path))
    assert page.locator("main img[src=x], main script").count() == 0
    path.unlink()
    page.reload()
    expect(page.locator("#trouble")).to_contain_text("the file is gone")
    expect(page.locator("#trouble")).to_contain_text(ODD_NAME)
    page.wait_for_function("() => document.getElementById('still').naturalWidth > 0")
    expect(page.locator("#strip")).to_be_visible()


def test_the_token_opens_the_page_and_leaves_the_address(open_page: Open, street_dsn: str) -> None:
    token = "a-token-of-some-length"
    with serving(VSDB_DSN=street_dsn, VSDB_TOKEN=token) as served:
        page = open_page(f"{served.base}/?token=a-token-of-other-length")
        assert "vsdb" not in page.content()
        page.goto(f"{served.base}/?q=a+dog&token={token}")
        expect(page.locator("#status")).to_contain_text("for “a dog”")
        assert token not in page.url
        assert token not in page.evaluate("document.cookie")
        page.wait_for_function("() => document.querySelector('.card img').naturalWidth > 0")
        page.locator(".card").first.click()
        wait_for_time(page, 0, 20)


def test_a_person_judges_what_is_played(
    open_page: Open, new_database: Callable[[str], str], street_template: str
) -> None:
    dsn = new_database(street_template)
    with serving("--judge", VSDB_DSN=dsn) as running, psycopg.connect(dsn, autocommit=True) as connection:
        page = open_page(running.base)
        cards = search(page, "a red car")
        expect(page.locator("#judge")).to_be_hidden()
        cards.first.click()
        for name, is_right, said in (("Yes", True, "Noted: this is “a red car”."), ("No", False, "Noted: this is not")):
            page.get_by_role("button", name=name, exact=True).click()
            expect(page.locator("#status")).to_contain_text(said)
            rows = connection.execute("select prompt, is_right from vsdb.judgements").fetchall()
            assert rows == [("a red car", is_right)]
