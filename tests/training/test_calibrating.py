import pytest

import bayesr


def test_calibrate_refuses_what_does_not_fit(model, photo):
    with pytest.raises(bayesr.BayesrError, match="too few"):
        bayesr.calibrate(model, [(photo, photo)])
    with pytest.raises(bayesr.BayesrError, match="does not fit"):
        bayesr.calibrate(model, [(photo, photo)] * 4, levels=())
