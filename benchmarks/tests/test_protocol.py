"""Sets and the protocol of the published figures."""

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.errors import DataNotFound, UnknownData, WrongProtocol
from bayesr_bench.protocol import check_protocol
from bayesr_bench.sets import read_set


def photographs(root, seed=0):
    """A folder of sets whose images are not those of the published figures."""
    random = np.random.default_rng(seed)
    for name in ("set5", "set14", "bsd100"):
        (root / name).mkdir(parents=True)
        PIL.Image.fromarray(random.integers(0, 256, (48, 44, 3), np.uint8)).save(root / name / "0.png")
    return root


@pytest.mark.parametrize("name", ["quality", "systems", "domains"])
def test_a_wrong_protocol_is_refused(name, tmp_path):
    """Other images than the published figures are of: said, with both figures, before anything is measured."""
    data = photographs(tmp_path / "data")
    train = ["--train", str(data / "set5")] if name == "systems" else []
    done = CliRunner().invoke(main, ["bench", name, "--data", str(data), "--out", str(tmp_path / "out"), *train])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    for said in ("Nothing was measured", "1 images of", "published are", "bayesr data verify"):
        assert said in done.output
    assert not (tmp_path / "out").exists()
    with pytest.raises(WrongProtocol, match=r"28\.42 dB and 0\.8104"):
        check_protocol(data, ["set5"])


def test_sets_that_are_not_there_are_said(tmp_path):
    with pytest.raises(DataNotFound, match=r"no folder bsd100 or bsd100_jpg.*bayesr data fetch"):
        read_set(tmp_path, "bsd100")
    (tmp_path / "set5").mkdir()
    with pytest.raises(DataNotFound, match="has no image"):
        read_set(tmp_path, "set5")
    for call in (read_set, lambda root, name: check_protocol(root, [name])):
        with pytest.raises(UnknownData, match=r"urban100.*set5, set14, bsd100"):
            call(tmp_path, "urban100")
