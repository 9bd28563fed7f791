"""The page of all jobs, in a browser: escaped, sorted, filtered, its pictures loaded when they come into view."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.jobs.folder import begin
from app.jobs.index import write_index
from core.errors import UserError
from tests.app.jobs.test_results import end, task
from tests.chromium import chromium_page, find_chromium

N_JOBS = 400
EVIL = '<script>document.title = "taken"</script> & "quoted" ${row}'


def picture(path: Path, value: int) -> None:
    Image.fromarray(np.full((128, 128, 3), value, np.uint8)).save(path)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Done, failed and unfinished jobs; one whose words are a page's own language."""
    folder = tmp_path_factory.mktemp("jobs") / "tonight & more"
    for i in range(N_JOBS):
        end(folder, f"job {i} #%", "done", seconds={"whole": float(N_JOBS - i)}, figures={"faces": i})
        picture(folder / f"job {i} #%" / "thumbnail.png", i % 256)
    (folder / "job 0 #%" / "report.html").write_text("a report")
    end(folder, "broken", "failed", error=EVIL)
    begin(task(folder, "begun"))
    write_index(folder)
    return folder


def test_without_jobs_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no jobs; --jobs-index takes the folder"):
        write_index(tmp_path)


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium here")
def test_the_page_in_a_browser(out: Path) -> None:
    browser = find_chromium()
    assert browser is not None
    with chromium_page(browser, out / "index.html") as page:
        page.wait_for("document.getElementById('shown').textContent", f"{N_JOBS + 2} of {N_JOBS + 2}")
        page.wait_for("document.images[0].naturalWidth", 128)
        assert page.evaluate("document.title") == "tonight & more", "words of a job are no program"
        assert page.evaluate("document.querySelector('.error').textContent") == EVIL
        loaded = page.evaluate("[...document.images].filter(image => image.complete && image.naturalWidth).length")
        assert 0 < loaded < N_JOBS / 2, "only what is near is loaded"
        assert all(url.startswith("file:") for url in page.requests if not url.startswith("data:"))

        def first() -> str:
            return page.evaluate("document.querySelector('tbody tr:not([hidden]) small').textContent")

        press = "[...document.querySelectorAll('th button')].find(b => b.textContent === 'seconds').click()"
        page.evaluate(press)
        assert first() == f"job {N_JOBS - 1} #%", "the quickest first"
        page.evaluate(press)
        assert first() == "job 0 #%"
        page.evaluate("status.value = 'failed'; status.dispatchEvent(new Event('change'))")
        assert (first(), page.evaluate("document.getElementById('shown').textContent")) == (
            "broken",
            f"1 of {N_JOBS + 2}",
        )
        page.evaluate("status.value = ''; words.value = 'JOB 12 #'; words.dispatchEvent(new Event('input'))")
        assert first() == "job 12 #%"
        page.evaluate("words.value = 'job 0 #'; words.dispatchEvent(new Event('input'))")
        address = page.evaluate("document.querySelector('tbody tr:not([hidden]) a').href")
        assert address == (out / "job 0 #%" / "report.html").resolve().as_uri()
        assert page.faults == []
