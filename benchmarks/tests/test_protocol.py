"""Sets and the protocol of the published figures."""

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from bayesr.cli import main
from bayesr.errors import WrongProtocol
from bayesr_bench.protocol import check_protocol, luma, psnr, psnr_ssim, upsample


def photographs(root, seed=0):
    """Make a folder of sets with other images than those of the published figures."""
    random = np.random.default_rng(seed)
    for name in ("set5", "set14", "bsd100"):
        (root / name).mkdir(parents=True)
        PIL.Image.fromarray(random.integers(0, 256, (48, 44, 3), np.uint8)).save(root / name / "0.png")
    return root


@pytest.mark.parametrize("name", ["quality", "systems", "domains"])
def test_a_wrong_protocol_is_refused(name, tmp_path):
    """Images of another set are refused before anything is measured; the message has both figures."""
    data = photographs(tmp_path / "data")
    train = ["--train", str(data / "set5")] if name == "systems" else []
    done = CliRunner().invoke(main, ["bench", name, "--data", str(data), "--out", str(tmp_path / "out"), *train])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    for said in ("Nothing was measured", "1 images of", "the published figures are", "bayesr data verify"):
        assert said in done.output
    assert not (tmp_path / "out").exists()
    with pytest.raises(WrongProtocol, match=r"28\.42 dB and 0\.8104"):
        check_protocol(data, ["set5"])


def test_psnr_of_grey_files_is_that_of_their_values():
    random = np.random.default_rng(0)
    a, b = random.integers(0, 255, (2, 32, 32, 1), dtype=np.uint8)
    inside = (slice(4, -4), slice(4, -4))
    expected = 10 * np.log10(255**2 / np.mean((a[inside].astype(float) - b[inside]) ** 2))
    assert psnr(a, b, True) == pytest.approx(expected)
    assert psnr_ssim(a, b, True)[0] == pytest.approx(expected)
    assert psnr(a, b, False) == pytest.approx(expected + 20 * np.log10(255 / 219))
    assert psnr(a, a, True) > 100 and luma(a, 2).shape == (28, 28)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upsampling_preserves_straight_lines(scale):
    y, x = np.mgrid[0:20, 0:16]
    found = upsample(np.stack([3 * y + 5 * x], -1).astype(np.uint8), scale)[..., 0]
    inner = found[3 * scale : -3 * scale, 3 * scale : -3 * scale]
    np.testing.assert_allclose(np.diff(inner, axis=0), 3 / scale, atol=1e-9)
    np.testing.assert_allclose(np.diff(inner, axis=1), 5 / scale, atol=1e-9)
