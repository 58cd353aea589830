from bayesr import progress


def test_plain_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PLAIN_EVERY", 0.0)
    for show, said in ((True, "working: 50%"), (None, ""), (False, "")):
        with progress.progress("working", 4, show) as advance:
            advance(2)
        assert said in capsys.readouterr().err
