"""Pages that call home, break on what somebody said, or cannot be read, heard or worked with: evaluations and decisions in a real browser."""

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for

from asrx import pages, tracking
from asrx.options import Gate
from asrx.registry import gate
from asrx.registry.verdict import Leaks, Verdict
from asrx.scoring import charts, confusions, evaluate, listening, report, slices
from asrx.scoring.clips import open_clip
from asrx.scoring.speed import SpeedRatio
from asrx.scoring.transcribe import Heard, Transcription

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '</script></style><script>window.hacked = 1</script>"><img src="https://example.org/x.png" onerror="window.hacked = 1">\u202e{{ 7 * 7 }}'
LONG = "donaudampfschifffahrts" * 12
FACTS = {"name": "asrx", "candidate": "4", "baseline": "3", "language": "en", "held-out set": HOSTILE, "run": "0" * 32}
CONTRAST = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const part = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = channels(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
  };
  const found = {};
  for (const element of document.querySelectorAll("body *:not(script):not(option)")) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const text = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const [dark, light] = [luminance(channels(text)), luminance(behind(element))].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found[element.tagName + "." + (element.getAttribute("class") || "")] = ratio;
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'asrx[test]'")
    if not CHROMIUM:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page and fails the test if it asks for anything, or complains."""
    asked: list[str] = []
    complaints: list[str] = []
    opened = []

    def open_page(html: str, width: int = 1280, scheme: str = "light") -> Any:
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        opened.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for page in opened:
        page.close()
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert complaints == []


@pytest.fixture(scope="module")
def transcriptions(recordings: Path) -> tuple[Transcription, Transcription]:
    """What a candidate and a baseline heard in 18 real clips: errors of every kind, Arabic, hostile texts, an unusable recording."""
    source = recordings / "test.csv"
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    heard: list[tuple[Heard, str]] = []
    for number, row in enumerate(rows):
        clip = open_clip(_row(recordings, row, number))[0]
        words = clip.row.text.split()
        worse, better = " ".join(words[:-1]), clip.row.text if number % 3 else f"{clip.row.text} again"
        first = Heard(clip.row, worse, 0.6, clip.seconds, clip.audio_digest, snr=clip.snr)
        heard.append((replace(first, confidence=0.9), better) if number % 4 else (first, worse))
    special = {1: ("مرحبا بالعالم الجديد", "مرحبا بالعلم"), 2: (HOSTILE, "hacked"), 5: (f"a {LONG} word", "a word")}
    new, old = [], []
    for number, (item, hypothesis) in enumerate(heard):
        text, before = special.get(number, (item.row.text, item.hypothesis))
        row = replace(item.row, text=text)
        old.append(replace(item, row=row, hypothesis=before))
        new.append(replace(item, row=row, hypothesis=text if number in special else hypothesis))
    broken = Heard(replace(new[0].row, id="broken", audio=Path("gone.wav")), "", 0.0, 0.0, "", f"the audio is missing (no such file: /recordings/{LONG}.wav)")
    return Transcription([*new, broken], 2.0, "CPU"), Transcription([*old, broken], 2.0, "CPU")


def _row(folder: Path, row: dict[str, str], number: int) -> Any:
    from asrx.corpus.rows import Row

    name = HOSTILE if number == 2 else LONG if number == 5 else f"utterance-{number}"
    values = {"accent": "north" if number % 2 else "south", "remark": HOSTILE if number < 9 else "none"}
    return Row(name, folder / row["path"], row["sentence"], row["client_id"], slices=values)


def _verdict(new: Transcription, old: Transcription, leaks: Leaks = Leaks(shared_speakers=1)) -> Verdict:
    speakers = [item.row.speaker for item in new.heard]
    return gate.judge(old.counts, new.counts, speakers, True, slices.of(new.heard), SpeedRatio(1.02, 1.1, 50.0, 49.0, 5, 30.0), leaks, Gate())


def _evaluation(result: Transcription, language: str = "en") -> str:
    errors = confusions.count([item.row.text for item in result.heard], [item.hypothesis for item in result.heard])
    scores = evaluate.summarize("models:/asrx/4", "0" * 32, result, 1, evaluate.utterance_rows(result), errors)
    return report.evaluation_page(result, scores, scores.slices, errors, language)


@pytest.fixture(scope="module")
def both(transcriptions: tuple[Transcription, Transcription]) -> dict[str, str]:
    new, old = transcriptions
    return {"comparison": report.comparison_page(_verdict(new, old), new, old, FACTS), "evaluation": _evaluation(old)}


def test_words_stand_above_each_other() -> None:
    found = pages.columns("Please turn on the light.", ["turn of the light now", "please turn on light"])
    assert [(column.said, column.heard, column.change) for column in found] == [
        ("please", (("delete", ""), ("equal", "please")), "fixed"), ("turn", (("equal", "turn"), ("equal", "turn")), ""),
        ("on", (("substitute", "of"), ("equal", "on")), "fixed"), ("the", (("equal", "the"), ("delete", "")), "broken"),
        ("light", (("equal", "light"), ("equal", "light")), ""), ("", (("insert", "now"), ("", "")), "fixed"),
    ]  # fmt: skip
    assert [column.heard for column in pages.columns("", ["two words"])] == [(("insert", "two"),), (("insert", "words"),)]
    assert [column.heard for column in pages.columns("light", [""])] == [(("delete", ""),)]
    assert pages.columns("", [""]) == []


@pytest.mark.parametrize("name", ["comparison", "evaluation"])
def test_what_was_said_is_text_and_nothing_else(name: str, both: dict[str, str], show: Callable[..., Any]) -> None:
    page = show(both[name])
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert HOSTILE in page.locator("td.what bdi.id").all_text_contents()
    assert page.evaluate("[...document.querySelectorAll('.words')].some(words => getComputedStyle(words).direction === 'rtl')")


@pytest.mark.parametrize("name", ["comparison", "evaluation"])
def test_every_player_plays(name: str, both: dict[str, str], show: Callable[..., Any], transcriptions: tuple[Transcription, Transcription]) -> None:
    found = show(both[name]).evaluate("""() => Promise.all([...document.querySelectorAll("audio")].map(player => new Promise((resolve) => {
        player.addEventListener("loadedmetadata", () => resolve([player.getAttribute("aria-label"), player.duration]));
        player.addEventListener("error", () => resolve([player.getAttribute("aria-label"), 0]));
        player.load();
    })))""")
    seconds = {item.row.id: item.seconds for item in transcriptions[0].heard}
    assert len(found) >= 5
    assert dict(found) == pytest.approx({label: seconds[label] for label, _ in found}, abs=0.1)


@pytest.mark.parametrize("name", ["comparison", "evaluation"])
def test_a_keyboard_is_enough_to_search_and_sort(name: str, both: dict[str, str], show: Callable[..., Any]) -> None:
    page = show(both[name])
    rows = page.locator(".utterances tbody tr:visible")
    everything = rows.count()
    _tab_to(page, "document.activeElement.type === 'search'")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("مرحبا")
    assert rows.count() == 1
    assert page.locator("[role=status]").text_content() == f"1 of {everything}"
    for _ in "مرحبا":
        page.keyboard.press("Backspace")
    assert rows.count() == everything
    _tab_to(page, "document.activeElement.textContent === 'Words'")
    for order in ("descending", "ascending"):
        page.keyboard.press("Enter")
        assert page.locator("[aria-sort]").get_attribute("aria-sort") == order
        words = [int(text) for text in page.locator(".utterances tbody tr td:nth-child(3)").all_text_contents()]
        assert words == sorted(words, reverse=order == "descending")
        assert len(set(words)) > 1


@pytest.mark.parametrize("name", ["comparison", "evaluation"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(width: int, name: str, both: dict[str, str], show: Callable[..., Any]) -> None:
    page = show(both[name], width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ["comparison", "evaluation"])
def test_light_and_dark_can_both_be_read(name: str, both: dict[str, str], show: Callable[..., Any]) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        page = show(both[name], scheme=scheme)
        assert page.evaluate(CONTRAST) == {}
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_a_page_works_in_the_frame_that_mlflow_shows_it_in(both: dict[str, str], show: Callable[..., Any]) -> None:
    outer = show("<!doctype html><iframe sandbox='allow-scripts' height='600' width='900'></iframe>")
    place = "html => { document.querySelector('iframe').src = URL.createObjectURL(new Blob([html], { type: 'text/html' })) }"
    with outer.expect_event("framenavigated"):
        outer.evaluate(place, both["comparison"])
    frame = outer.frames[-1]
    frame.click("a[href='#utterances']")
    wait_for(lambda: frame.evaluate("document.querySelector('#utterances').getBoundingClientRect().top") < 300, what="the way to the utterances")
    assert "of" in frame.locator("[role=status]").text_content()


def test_decisions_without_figures_have_a_page(transcriptions: tuple[Transcription, Transcription], show: Callable[..., Any]) -> None:
    new, old = transcriptions
    first = gate.judge_first(new.counts, Leaks(), Gate())
    page = show(report.comparison_page(first, new, None, {**FACTS, "baseline": None}))
    assert "Version 4 of asrx" in page.locator("h1").text_content()
    silent = [replace(side, heard=[replace(item, row=replace(item.row, text="")) for item in side.heard]) for side in transcriptions]
    page = show(report.comparison_page(_verdict(*silent), *silent, FACTS))
    assert "no reference word" in page.locator(".lead").text_content()
    assert "No reference word" in show(_evaluation(silent[1])).locator("h1").text_content()


def test_a_large_held_out_set_makes_no_larger_page(transcriptions: tuple[Transcription, Transcription], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "AUDIO_SECONDS", 10.0)
    sides = [
        replace(side, heard=[replace(item, row=replace(item.row, id=f"{item.row.id[:9]}-{copy}")) for copy in range(80) for item in side.heard])
        for side in transcriptions
    ]
    page = report.comparison_page(_verdict(*sides), *sides, FACTS)
    assert page.count("<tr data-kind=") == listening.ROWS
    assert f"The 1,000 of {len(sides[0].heard):,} utterances whose errors changed most are here" in page
    assert 1 <= page.count("<audio") <= 10


def test_a_slice_that_nothing_is_known_of_does_not_flatten_the_others() -> None:
    axis = report.axis_of([0.0, -0.01, 0.01], [-0.6, 0.6])
    assert axis.holds(0.01) and not axis.holds(0.6)
    assert 100 * 0.01 / (axis.ticks[-1] - axis.ticks[0]) > 10


def test_a_chart_without_an_error_has_a_scale() -> None:
    axis = charts.Axis.over([0.0, 0.0])
    assert len({axis.label(tick) for tick in axis.ticks}) == len(axis.ticks) and axis.at(0.0) == 0


def test_the_table_of_utterances_comes_back_as_it_was(home: Path, transcriptions: tuple[Transcription, Transcription]) -> None:
    import mlflow
    import pandas

    rows = evaluate.utterance_rows(transcriptions[0])
    with tracking.run("evaluate", "tables") as run:
        report.log_tables(run, rows)
    stored = pandas.read_parquet(mlflow.artifacts.download_artifacts(f"runs:/{run.id}/{report.TABLE}"))
    assert stored["reference"].tolist() == [row["reference"] for row in rows]
    assert stored["errors"].tolist() == [row["errors"] for row in rows]
    browsed = run.client.load_table(run.info.experiment_id, report.BROWSED, [run.id])
    assert browsed["hypothesis"].tolist() == [row["hypothesis"] for row in rows]
    assert report.BROWSED in run.client.get_run(run.id).data.tags["mlflow.loggedArtifacts"]


def _tab_to(page: Any, condition: str) -> None:
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate(condition):
            return
    raise AssertionError(f"Tab never reached: {condition}")
