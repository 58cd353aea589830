import re

import numpy as np
import PIL.Image
from click.testing import CliRunner

from bayesr import report
from bayesr.cli import main
from bayesr.report.page import page
from tests.report.conftest import data_of

ADDRESS = re.compile(
    r"""(?:src|href)\s*=\s*["']?(?!data:)[\w/.]|url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)"""
)


def test_a_page_needs_nothing_else(ds, truth, tmp_path):
    out = report.write(ds, tmp_path / "x.html", truth)
    text = out.read_text("utf-8")
    outside = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.S)
    assert not ADDRESS.search(outside), ADDRESS.search(outside)
    assert "default-src 'none'" in text and "{{" not in outside
    assert [p.name for p in tmp_path.iterdir()] == ["x.html"]


def test_text_from_outside_cannot_end_a_script_or_begin_an_element(ds, tmp_path):
    evil = "</script><script>alert(1)</script><!--{{style}}"
    out = report.write(ds.assign_attrs(history=evil, model=evil), tmp_path / "x.html")
    text = out.read_text("utf-8")
    assert "alert(1)</script>" not in text and "<!--" not in text.split('id="data"')[1]
    assert dict(data_of(out)["provenance"])["history"] == evil
    title = re.search("<title>(.*?)</title>", page("product.html", {}, "<b>&"), re.S)
    assert title and title.group(1) == "&lt;b&gt;&amp;"


def test_numbers_that_json_lacks_become_null():
    text = page("product.html", {"a": [float("nan"), np.float32("inf"), np.arange(2)]}, "t")
    assert '{"a":[null,null,[0,1]]}' in text


def test_the_command_writes_the_page_beside_the_store(places, truth, monkeypatch):
    monkeypatch.chdir(places)
    PIL.Image.fromarray(truth).save("truth.png")
    ran = CliRunner().invoke(main, ["report", "scene.zarr", "--reference", "truth.png"], catch_exceptions=False)
    assert ran.exit_code == 0 and (places / "scene.html").exists(), ran.output
    assert data_of(places / "scene.html")["evidence"]["pixels"] == 64 * 96
    wrong = CliRunner().invoke(main, ["report", "none.zarr"])
    assert wrong.exit_code == 1 and "no store" in wrong.output
