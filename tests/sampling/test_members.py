import numpy as np
import pytest
import torch

import bayesr


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_member_is_consistent_with_the_input(model, dtype):
    """A x = y to float accuracy for each member, in the units of a float image."""
    y = np.random.default_rng(1).normal(40, 12, (3, 20, 26)).astype(dtype)
    ds = model.sample(y, 8)
    assert float(ds["samples"].std("realization").mean()) > 0.1
    seen = model.forward_operator.observe(torch.from_numpy(ds["samples"].values)).numpy()
    assert np.abs(seen - y).max() < 1e-5 * (y.max() - y.min())


def test_members_of_integer_images_stay_inside_and_consistent(model, photo):
    assert (photo == 255).any() and (photo == 0).any()
    x = torch.from_numpy(model.sample(photo, 8)["samples"].values)
    assert x.min() >= 0 and x.max() <= 255
    error = model.forward_operator.observe(x.round()) - torch.from_numpy(photo).permute(2, 0, 1)
    psnr = 10 * torch.log10(255**2 / error.pow(2).mean((1, 2, 3)))
    assert psnr.min() >= 58


def test_members_do_not_depend_on_n(model, photo):
    many, few = model.sample(photo, 12, masks=2), model.sample(photo, 4, masks=2)
    np.testing.assert_allclose(few["samples"], many["samples"][:4], atol=255e-5)


def test_members_depend_on_seed_latent_and_mask(model, photo):
    x = model.sample(photo, 4, masks=2)["samples"].values
    y = model.sample(photo, 4, masks=2, seed=1)["samples"].values
    assert all(np.abs(a - b).max() > 1 for a, b in [(x[0], x[1]), (x[0], x[2]), (x[0], y[0])])


def test_one_band_model_takes_any_number(grey_model, photo):
    both = grey_model.sample(photo, 4)
    one = grey_model.sample(photo[..., 1], 4)
    assert both["samples"].shape[1] == 3
    np.testing.assert_allclose(both["samples"][:, 1], one["samples"][:, 0], atol=255e-5)


@pytest.mark.parametrize("capacity", [1, 3000, 10**7])
def test_batches_of_several_masks_draw_the_same_members(model, photo, monkeypatch, capacity):
    """As where a GPU's memory decides on the batches."""
    few = model.sample(photo, 12, masks=4)
    monkeypatch.setattr("bayesr.sampling.members.capacity", lambda device: capacity)
    many = model.sample(photo, 12, masks=4)
    for name in few.data_vars:
        np.testing.assert_allclose(many[name], few[name], atol=255e-5, rtol=1e-4, err_msg=name)
    np.testing.assert_array_equal(bayesr.replay(many, 7, photo, model=model), many["samples"][7])
