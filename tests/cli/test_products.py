import csv
import json

import numpy as np
import PIL.Image
import xarray as xr

import bayesr
from bayesr.cli.cells import text
from tests.cli.helpers import run


def test_components(model, photo, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    PIL.Image.fromarray(photo).save(tmp_path / "a.png")
    run("sample", tmp_path / "a.png", tmp_path / "a.zarr", "-n", 4, "--model", file)
    drawn = run("components", tmp_path / "a.zarr", "-k", 2, "--img", tmp_path / "a.png", "--model", file)
    sampled = run("components", tmp_path / "a.png", "-k", 2, "-n", 4, "--model", file, "--out", tmp_path / "c.zarr")
    assert drawn.exit_code == sampled.exit_code == 0, drawn.output + sampled.output
    assert sampled.output.startswith(drawn.output) and drawn.output.count("\n") == 3
    assert xr.open_zarr(tmp_path / "c.zarr")["components"].shape == (2, 3, 92, 120)
    for args in (["a.zarr"], ["c.zarr"], ["a.png", "--model", file, "--out", tmp_path / "c.zarr"]):
        result = run("components", tmp_path / args[0], *args[1:])
        assert result.exit_code == 1 and result.output.startswith("Error: ")


def test_scores_as_json(model, photo, tmp_path):
    file = model.save(tmp_path / "tiny.safetensors")
    bayesr.sample(photo, 4, model=file, store=tmp_path / "a.zarr", keep_samples=True)
    truth = np.kron(photo, np.ones((4, 4, 1))).astype(np.uint8)
    PIL.Image.fromarray(truth).save(tmp_path / "truth.png")
    given = ["score", tmp_path / "a.zarr", tmp_path / "truth.png", "--model", file, "--json"]
    result = run(*given, "--out", tmp_path / "scores.zarr")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    stored = xr.open_zarr(tmp_path / "scores.zarr")
    assert found["n"] == 4 and found["out"] == str(tmp_path / "scores.zarr")
    assert found["level"] == list(stored["level"].values)
    for name, figure in found["figures"].items():
        finite = stored[name].where(np.isfinite(stored[name]))  # JSON has no other numbers
        np.testing.assert_allclose(np.array(figure["value"], float), finite, err_msg=name)
        assert figure["by_level"] == (stored[name].dims == ("level",))
    assert {"crps_mean", "coverage"} <= set(found["figures"])


def test_measurements_as_json(grey_model, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (8, 12), np.uint8)
    store, out = tmp_path / "a.zarr", tmp_path / "out.zarr"
    grey_model.sample(image, 6, store=store, keep_samples=True)

    def printed(command, *arguments):
        result = run(command, store, *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    found, objects = printed("segment", out, "--segmenter", "otsu", "--level", 0.5), xr.open_zarr(out)
    assert found.pop("out") == str(out) and found.pop("segmenter") == objects.attrs["segmenter"]
    assert found.pop("foreground") == float(objects["probability"].mean())
    assert found == {"n": 6, "level": 0.5} | {
        name: float(objects[name]) for name in ("count", "count_lower", "count_upper")
    }
    found, table = (
        printed("aggregate", "16", "--raw", "--level", 0.5),
        bayesr.aggregate(store, 16, calibrated=False, level=0.5),
    )
    assert [row["region"] for row in found["regions"]] == list(table["region"].values)
    for name in ("value", "lower", "upper"):
        np.testing.assert_array_equal([row[name] for row in found["regions"]], table[name].values.ravel())
    assert printed("components", "-k", 2) == {"share": list(bayesr.components(store, 2)["share"].values)}


def test_names_of_regions_are_no_formulas_in_a_table(grey_model, tmp_path):
    grey_model.sample(np.zeros((8, 8), np.uint8), 4, store=tmp_path / "a.zarr", keep_samples=True)
    square = [[[0, 0], [16, 0], [16, 16], [0, 16], [0, 0]]]
    names = ["=HYPERLINK(0)", "plain", "a\nb"]
    features = [{"properties": {"name": n}, "geometry": {"type": "Polygon", "coordinates": square}} for n in names]
    described = {"type": "FeatureCollection", "features": [{"type": "Feature"} | feature for feature in features]}
    (tmp_path / "r.geojson").write_text(json.dumps(described))
    given = ["aggregate", tmp_path / "a.zarr", tmp_path / "r.geojson", "--raw", "--level", 0.5]
    result = run(*given, "--out", tmp_path / "r.csv")
    assert result.exit_code == 0, result.output
    with open(tmp_path / "r.csv", newline="") as file:
        written = [row[0] for row in csv.reader(file)][1:]
    assert written == ["'=HYPERLINK(0)", "plain", "a\\nb"] and [text(name) for name in written] == names
