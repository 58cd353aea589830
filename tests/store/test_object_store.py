"""Scenario: products on object storage. A server on this machine speaks the protocol of S3."""

import logging

import fsspec
import numpy as np
import pytest
import xarray as xr
from moto.server import ThreadedMotoServer

import bayesr
from bayesr.errors import StoreBusy, StoreExists, StoreFailed
from bayesr.sampling import job
from bayesr.store.locking import LEASE, lock


@pytest.fixture(scope="module")
def bucket():
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    server.stop()


def test_a_product_on_object_storage(model, photo, bucket, monkeypatch):
    """The product is stopped, resumed by workers, extended and damaged; its image is on object storage, too."""
    place, image, direct = f"{bucket}/a.zarr", f"{bucket}/image.zarr", model.sample(photo, 4, keep_samples=False)
    xr.Dataset({"image": (("y", "x", "band"), photo)}).to_zarr(image, zarr_format=3, consolidated=False)
    drawn, draw = [], job.draw

    def stopped(*args, **options):
        drawn.append(args[3].core)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(job, "draw", stopped)
        with pytest.raises(KeyboardInterrupt):
            model.sample(image, 4, tile=16, store=place)
    files = fsspec.filesystem("s3")
    assert not files.exists(place + LEASE)
    done = files.find(f"{place}/progress/done/c", detail=True)
    assert len(done) == 2
    with pytest.raises(StoreExists):
        model.sample(image, 4, tile=16, store=place)
    ds = model.sample(image, 4, tile=16, store=place, resume=True, cluster=1)
    xr.testing.assert_allclose(ds.drop_vars("calibration").compute(), direct.drop_vars("calibration"), 0, 3e-3)
    later = files.find(f"{place}/progress/done/c", detail=True)
    assert len(later) == 4 and all(later[name]["LastModified"] == of["LastModified"] for name, of in done.items())
    assert bayesr.extend(place, 8, model=model).attrs["n"] == 8
    files.pipe_file(f"{place}/std/c/0/1/0", files.cat_file(f"{place}/std/c/0/1/0")[:-20])
    assert list(bayesr.check(place).damaged) == [(1, 0)]


def test_one_writer(model, photo, bucket):
    place = f"{bucket}/b.zarr"
    with lock(place), pytest.raises(StoreBusy, match="is writing"):
        model.sample(photo, 2, store=place)
    with pytest.raises(StoreFailed):
        model.sample(photo, 2, store="s3://no-such-bucket/b.zarr")
    assert np.isfinite(model.sample(photo, 2, store=place)["mean"]).all()
