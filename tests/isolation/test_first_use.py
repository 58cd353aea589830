"""Scenario: what a process has is the same before and after the first uses of bayesr.

Packages that bayesr imports, such as torch and zarr, are imported before, and xarray has opened a store, for which it
adds a filter of warnings: what they do by themselves is not compared.
"""

import json
import subprocess
import sys

STATE = """
import json, locale, logging, os, random, signal, sys, tempfile, threading, warnings
import dask, dask.array, distributed, fsspec, numpy as np, PIL.Image, safetensors.torch
import scipy.ndimage, scipy.optimize, scipy.special
import skimage.measure, skimage.segmentation, tifffile, torch, xarray as xr, zarr
import rich.progress, scoringrules, psutil


def state():
    loggers = [logging.getLogger(name) for name in (None, "bayesr", "torch", "zarr", "tifffile", "PIL", "dask")]
    return {
        "environment": dict(os.environ),
        "filters of warnings": repr(warnings.filters),
        "showwarning": repr(warnings.showwarning),
        "folder": os.getcwd(),
        "umask": umask(),
        "locale": repr(locale.setlocale(locale.LC_ALL)),
        "random": repr(random.getstate())[:4000],
        "numpy's random": repr(np.random.get_state()),
        "numpy's errors": repr(np.geterr()),
        "torch's random": torch.get_rng_state().numpy().tobytes().hex(),
        "torch's settings": repr((
            torch.get_num_threads(), torch.get_num_interop_threads(), torch.get_default_dtype(),
            torch.get_default_device(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(),
            torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic,
            torch.get_float32_matmul_precision(), torch._C._len_torch_function_stack(),
        )),
        "handlers of logging": repr([(one.name, one.level, one.handlers, one.propagate) for one in loggers]),
        "handlers of signals": repr([signal.getsignal(number) for number in sorted(signal.valid_signals())]),
        "temporary files": sorted(os.listdir(tempfile.gettempdir())),
        "xarray's options": repr(sorted(xr.get_options().items(), key=str)),
        "zarr's options": repr(zarr.config.config),
        "dask's options": repr(dask.config.config),
        "hook of exceptions": repr((sys.excepthook, threading.excepthook)),
        "largest image": PIL.Image.MAX_IMAGE_PIXELS,
        "recursion": sys.getrecursionlimit(),
    }


def umask():
    found = os.umask(0o077)
    os.umask(found)
    return found


import bayesr, bayesr.report  # which loads next to nothing

image = (np.random.default_rng(0).random((40, 36)) * 200).astype(np.uint8)
large = np.repeat(np.repeat(image, 4, 0), 4, 1)
opened = zarr.storage.MemoryStore()
zarr.open_group(opened)
xr.open_zarr(opened, consolidated=False)
before = state()


def changed(use):
    after = state()
    print(json.dumps([use, {key: [str(before[key]), str(after[key])] for key in before if before[key] != after[key]}]))
"""

USES = """
product = bayesr.sample(image, 4, model="fluorescence-x4", keep_samples=True, progress=False)
changed("sample")
bayesr.segment(product, "nuclei", progress=False)
changed("segment")
bayesr.segment(image, "nuclei", n=2, model="fluorescence-x4", progress=False)
changed("segment an image")
bayesr.score(product, large, progress=False)
changed("score")
bayesr.aggregate(product, 64, level=0.5, progress=False)
changed("aggregate")
bayesr.report.write(product, sys.argv[1] + "/page.html", img=image, progress=False)
changed("report")
"""


def test_nothing_global_changes(tmp_path):
    (tmp_path / "temporary").mkdir()
    environment = {"TMPDIR": str(tmp_path / "temporary"), "OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STATE + USES, str(tmp_path)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(lines) == 6 and lines == [[use, {}] for use, _ in lines]
    assert not list((tmp_path / "temporary").iterdir())
