import subprocess
import sys
from pathlib import Path

import pytest

import bayesr


@pytest.mark.parametrize("code", ["import bayesr; dir(bayesr)", "import bayesr.cli"])
def test_imports_are_light(code):
    check = (
        f"import sys; {code}; heavy = {{'torch', 'xarray', 'zarr', 'numpy', 'scipy'}} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_public_names():
    assert all(getattr(bayesr, name) is not None for name in bayesr.__all__)
    assert set(bayesr.__all__) <= set(dir(bayesr))
    with pytest.raises(AttributeError, match="nothing"):
        bayesr.nothing  # noqa: B018


@pytest.mark.parametrize("module", ["errors", "examples", "observe", "recipes", "report"])
def test_modules_are_loaded_when_first_used(module):
    code = f"import bayesr; bayesr.{module}.__name__"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", bayesr.examples.__all__)
def test_examples_are_read(name):
    path = getattr(bayesr.examples, name)()
    ds = bayesr.sample(path, n=1, model="natural-x4-fast" if name != "nuclei" else "fluorescence-x4", progress=False)
    assert dict(ds.sizes)["y"] % 4 == 0
    assert ("spatial_ref" in ds.coords) == (name == "aerial")


def test_the_version_to_cite_is_that_of_the_package():
    text = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {bayesr.__version__}\n" in text
