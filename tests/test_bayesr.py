import subprocess
import sys

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
