from bayesr import errors


def test_every_error_is_a_bayesr_error_and_a_builtin():
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not errors.BayesrError]
    kinds = [kind for kind in found if not issubclass(kind, UserWarning)]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, errors.BayesrError) and len(kind.__mro__) > 4, kind
