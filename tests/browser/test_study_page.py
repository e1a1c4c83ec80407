"""The page of a user study in a real browser: from a file, by keyboard, mouse and finger, to votes that are counted."""

import base64
import hashlib
import json
import time

import pytest

from tests.browser.chromium import browse, find_chromium
from tests.unit.study_examples import HOSTILE, NAMES, study_of, write_page
from workflow_scripts.lib.study.votes import read_votes
from workflow_scripts.lib.study.win_rate import win_rates

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome (`apt install chromium`)")
PAIRS, QUESTIONS = 6, 2
VOTE, END = "!document.querySelector('#vote').hidden", "!document.querySelector('#end').hidden"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return write_page(folder, study_of())


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browse(tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("unused")) as tab:
        yield tab


@pytest.fixture
def tab(browser, made, tmp_path):
    """A tab that has nothing stored; the test fails when the page was refused something or asked for it."""
    browser.become(1280, 800)
    browser.open(made[0])
    browser.run("localStorage.clear()")
    browser.download_to(tmp_path / "downloads")
    browser.messages.clear()
    browser.requests.clear()
    yield browser
    assert browser.messages == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in browser.requests)


def begin(tab, page, rater=None):
    tab.open(page)
    if rater:
        tab.run("document.querySelector('#rater').value = ''")
        tab.run("document.querySelector('#rater').focus()")
        tab.type(rater)
    tab.press("Enter")
    tab.wait(VOTE)


def shown(tab):
    """Prompt, question, and what the two images show, by the checksum of their bytes."""
    images = tab.run("[...document.querySelectorAll('.choice img')].map((image) => image.src)")
    return tab.text("#prompt"), tab.text("#question"), [checksum(image) for image in images]


def checksum(uri):
    return hashlib.sha256(base64.b64decode(uri.partition(",")[2])).hexdigest()


def policies(page, key):
    """Checksum of an image -> 0 for A, 1 for B: the truth that the page does not tell."""
    uris = dict(
        line.removeprefix('<script type="text/plain" id="').removesuffix("</script>").split('">', 1)
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith('<script type="text/plain"')
    )
    return {checksum(uris[image.name]): policy for pair in key.pairs for policy, image in enumerate((pair.a, pair.b))}


def vote_by(tab, cast, expected):
    """Cast a vote and wait until it counts."""
    cast()
    tab.wait(f"document.querySelector('#count').textContent === '{expected} of {PAIRS * QUESTIONS}' || {END}")
    tab.wait(f"!locked || {END}")


def download(folder, tab, button, suffix):
    tab.click(button)
    end = time.monotonic() + 10
    while not (files := list(folder.glob(f"*.{suffix}"))):  # unfinished downloads end in .crdownload
        assert time.monotonic() < end, f"{button} saved nothing"
        time.sleep(0.05)
    return files[0]


def test_a_study_from_the_first_pair_to_the_win_rate(made, tmp_path):
    """Ann always takes the second policy's image for quality, and the left one for alignment."""
    page, _, key = made
    whose, downloads = policies(page, key), tmp_path / "downloads"
    lefts, answered = [], 0

    def choose(tab, by):
        nonlocal answered
        _, question, images = shown(tab)
        side = [whose[image] for image in images].index(1) if "quality" in question else 0
        if "alignment" in question:
            lefts.append(whose[images[0]])
        answered += 1
        vote_by(tab, lambda: by(side), answered)

    with browse(tmp_path / "profile", downloads) as tab:
        tab.become(1280, 800)
        begin(tab, page, "Ann-1")
        for keys in (("ArrowLeft", "ArrowRight"), ("1", "2")) * 2:
            choose(tab, lambda side, keys=keys: tab.press(keys[side]))
        before = shown(tab)
        tab.open(page)
        assert shown(tab) == before, "a reload goes on where the rater was"
        choose(tab, lambda side: tab.click(f"#choice-{side}"))
        before = shown(tab)
    with browse(tmp_path / "profile", downloads) as tab:
        tab.become(390, 844, phone=True)
        tab.open(page)
        assert shown(tab) == before, "so does another start of the browser"
        while answered < PAIRS * QUESTIONS:
            choose(tab, lambda side: tab.tap(f"#choice-{side}"))
        tab.wait(END)
        assert "Thank you" in tab.text("#end-title") and "ann-1" in tab.text("#end-text")
        files = [download(downloads, tab, f"#save-{suffix}", suffix) for suffix in ("csv", "json")]
        assert tab.messages == []
    assert [file.name for file in files] == ["my_study-ann-1.csv", "my_study-ann-1.json"]
    votes, again = (read_votes([file], key) for file in files)
    assert votes == again and len(votes) == PAIRS * QUESTIONS
    quality, alignment = win_rates(votes, key, 100, 0)
    assert (quality.estimate.value, alignment.estimate.value) == (1, sum(lefts) / PAIRS)
    assert (alignment.left, alignment.raters, alignment.prompts) == (1, 1, PAIRS)


def test_three_questions_are_asked_of_a_pair_before_the_next_comes(tab, tmp_path):
    """Quality, alignment and aesthetics, as Adv-GRPO's raters were asked; a rater who stops early has counted votes."""
    questions = ("quality", "alignment", "aesthetics")
    page, _, key = write_page(tmp_path / "three", study_of(questions=questions))
    begin(tab, page, "ann")
    seen = []
    for number, choice in enumerate("121122", 1):
        prompt, question, images = shown(tab)
        seen.append((prompt, question, tuple(images)))
        tab.press(choice)
        tab.wait(f"document.querySelector('#count').textContent === '{number} of {PAIRS * 3}' && !locked")
    for pair in (seen[:3], seen[3:]):
        assert [question for _, question, _ in pair] == [f"Which has more {one}?" for one in questions]
        assert len({(prompt, images) for prompt, _, images in pair}) == 1, "one pair, and its sides stay"
    tab.click("#pause")
    assert tab.text("#end-title") == "6 of 18 done"
    votes = read_votes([download(tmp_path / "downloads", tab, "#save-csv", "csv")], key)
    assert [(vote.question, vote.chose_left) for vote in votes] == [
        (question, choice == "1") for question, choice in zip(questions * 2, "121122", strict=True)
    ]
    assert [(rate.question, rate.votes) for rate in win_rates(votes, key, 100, 0)] == [(one, 2) for one in questions]


def walk(tab, page, rater):
    """What a rater sees, step by step, and afterwards another rater may begin."""
    begin(tab, page, rater)
    seen = []
    for _ in range(PAIRS * QUESTIONS):
        seen.append(shown(tab))
        tab.run("move(position + 1)")
    tab.wait(END)
    tab.run("localStorage.clear()")
    return seen


def test_each_rater_has_an_order_and_sides_of_its_own(tab, made):
    ann, bob, again = (walk(tab, made[0], rater) for rater in ("ann", "bob", "ann"))
    assert ann == again
    assert [prompt for prompt, *_ in ann] != [prompt for prompt, *_ in bob]
    assert {prompt for prompt, *_ in ann} == {prompt for prompt, *_ in bob}
    sides = [{prompt: images for prompt, _, images in walked} for walked in (ann, bob)]
    swapped = [prompt for prompt in sides[0] if sides[0][prompt] != sides[1][prompt]]
    assert 0 < len(swapped) < PAIRS
    assert f"“{HOSTILE}”" in sides[0], "a hostile prompt is text like any other"


def test_back_changes_a_vote_and_keeps_the_others(tab, made):
    begin(tab, made[0], "ann")
    for number, key in enumerate(("1", "2", "1"), 1):
        vote_by(tab, lambda key=key: tab.press(key), number)
    tab.press("Backspace")
    tab.press("Backspace")
    pressed = "[...document.querySelectorAll('.choice')].map((one) => one.ariaPressed)"
    assert tab.run(pressed) == ["false", "true"]
    vote_by(tab, lambda: tab.press("1"), 3)
    tab.press("Backspace")
    assert tab.run(pressed) == ["true", "false"]
    tab.click("#next")
    assert tab.run(pressed) == ["true", "false"], "the third vote is as it was"
    tab.click("#next")
    assert tab.run(pressed) == ["false", "false"]


def test_keys_do_not_vote_where_they_should_not(tab, made):
    tab.open(made[0])
    tab.press("Backspace")
    tab.press("1")
    assert tab.run("document.querySelector('#vote').hidden")
    tab.run("document.querySelector('#rater').value = '=cmd'")
    tab.press("Enter")
    assert tab.run("document.querySelector('#vote').hidden"), "a code that no analysis accepts is refused"
    begin(tab, made[0], "ann")
    repeated = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '1', repeat: true}))"
    with_control = "document.dispatchEvent(new KeyboardEvent('keydown', {key: '1', ctrlKey: true}))"
    tab.run(f"{repeated}, {with_control}")
    tab.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'toString'}))")
    assert tab.text("#count") == "0 of 12" and not tab.run("locked")


def test_a_generated_code_is_one_that_the_analysis_accepts(tab, made, tmp_path):
    begin(tab, made[0])
    vote_by(tab, lambda: tab.press("2"), 1)
    tab.click("#pause")
    assert tab.text("#end-title") == "1 of 12 done"
    (vote,) = read_votes([download(tmp_path / "downloads", tab, "#save-csv", "csv")], made[2])
    assert len(vote.rater) == 6 and not vote.chose_left
    tab.click("#continue")
    assert tab.text("#count") == "1 of 12"


def test_another_rater_does_not_vote_under_the_code_of_the_first(tab, made):
    begin(tab, made[0], "ann")
    vote_by(tab, lambda: tab.press("1"), 1)
    tab.click("#pause")
    tab.click("#leave")
    tab.open(made[0])
    assert tab.run("document.querySelector('#vote').hidden && !document.querySelector('#start').hidden")
    begin(tab, made[0], "bob")
    assert tab.text("#count") == "0 of 12"
    tab.run("leave()")
    begin(tab, made[0], "ann")
    assert tab.text("#count") == "1 of 12", "the first rater's vote is still there"


def test_what_others_left_in_the_storage_is_no_vote(tab, made):
    begin(tab, made[0], "ann")
    place = "placeOf('votes/ann')"
    for text in ("{", "[1]", "null", json.dumps({"0/quality": "x", "nine/quality": "y"})):
        tab.run(f"localStorage.setItem({place}, {json.dumps(text)})")
        tab.open(made[0])
        assert tab.text("#count") == "0 of 12"


def test_a_browser_that_keeps_nothing_says_so_and_still_exports(tab, made, tmp_path):
    full = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"
    tab.open(made[0])
    tab.run(full)
    tab.press("Enter")
    tab.wait(VOTE)
    for number in (1, 2):
        vote_by(tab, lambda: tab.press("1"), number)
    assert not tab.run("document.querySelector('#unsaved').hidden")
    tab.click("#pause")
    assert len(read_votes([download(tmp_path / "downloads", tab, "#save-csv", "csv")], made[2])) == 2


def test_the_page_cannot_run_or_load_anything_else(made, tmp_path):
    with browse(tmp_path / "profile", tmp_path) as tab:
        begin(tab, made[0], "ann")
        tab.run("document.body.append(document.createElement('script'))")
        tab.run("document.body.lastChild.append('window.ran = 1')")
        assert tab.run("typeof window.ran") == "undefined"
        assert tab.run("fetch('http://127.0.0.1:9/').then(() => 'loaded', () => 'refused')") == "refused"
        assert sum("Content Security Policy" in message for message in tab.messages) >= 2
        assert not [url for url in tab.requests if url.startswith("http")]


def test_nothing_in_the_document_tells_a_policy(tab, made):
    begin(tab, made[0], "ann")
    document = tab.run("document.documentElement.outerHTML")
    assert not [word for word in (*NAMES, "FirstTitle", "SecondTitle") if word in document]


def test_unsafe_images_stay_blurred_until_they_are_asked_for(tab, tmp_path):
    page, *_ = write_page(tmp_path / "blurred", study_of(blurred=True))
    begin(tab, page, "ann")
    blur = "getComputedStyle(document.querySelector('#choice-0 img')).filter"
    assert "blur" in tab.run(blur)
    tab.press("1")
    assert tab.text("#count") == "0 of 12"
    tab.click("#reveal")
    assert tab.run(blur) == "none"
    vote_by(tab, lambda: tab.press("1"), 1)
    assert tab.run(blur) == "none", "the second question is on the same pair"
    vote_by(tab, lambda: tab.press("1"), 2)
    assert "blur" in tab.run(blur), "the next pair is blurred again"


SCREENS = {"desktop": (1280, 800, False), "phone": (390, 844, True), "phone, turned": (844, 390, True)}


@pytest.mark.parametrize(("width", "height", "phone"), SCREENS.values(), ids=SCREENS)
def test_both_images_fit_and_nothing_runs_out_of_the_screen(tab, made, width, height, phone):
    tab.become(width, height, phone=phone)
    begin(tab, made[0], "ann")
    for _ in range(PAIRS * QUESTIONS):
        tab.wait("[...document.images].every((image) => image.complete && image.naturalWidth)")
        assert tab.run("document.documentElement.scrollWidth") <= width
        boxes = tab.run("[...document.querySelectorAll('.choice')].map((one) => one.getBoundingClientRect().toJSON())")
        assert all(box["top"] >= 0 and box["bottom"] <= height and box["width"] > 150 for box in boxes)
        assert tab.run("document.querySelector('#pause').getBoundingClientRect().bottom") <= height
        tab.run("move(position + 1)")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out(tab, made, dark):
    """WCAG 2.2, 1.4.3: a contrast of 4.5 for text."""
    tab.become(1280, 800, dark=dark)
    tab.open(made[0])
    for selector in ("h1", "#rater-help", "button.primary"):
        assert contrast(tab, selector) >= 4.5, selector
    tab.press("Enter")
    for selector in ("#question", "#prompt", "#count", ".keys", "#pause"):
        assert contrast(tab, selector) >= 4.5, selector


def contrast(tab, selector):
    colours = tab.run(f"""(() => {{
        const element = document.querySelector({json.dumps(selector)});
        let ground = element;
        while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
        return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
    }})()""")
    light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    """Relative luminance of `rgb(r, g, b)` in sRGB."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(", ")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_everything_can_be_reached_and_has_a_name(tab, made):
    begin(tab, made[0], "ann")
    assert tab.run("document.activeElement.id") == "question"
    name = "(one) => one.innerText || one.querySelector('img').alt"
    names = tab.run(f"[...document.querySelectorAll('#vote button')].map({name})")
    assert all(names)
    reached = []
    for _ in range(3):
        tab.press("Tab")
        reached.append(tab.run("document.activeElement.id"))
    assert reached == ["choice-0", "choice-1", "pause"]
    assert "Choice 1 of 12" in tab.text("#status")
