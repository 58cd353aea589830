"""A sitting: what is shown, what is recorded, and what is refused."""

import http.client
import io
import json
from itertools import product

import numpy as np
import pytest
from PIL import Image
from rating_helpers import NAMES, SYSTEMS, ask, rate, state

from bayesr.errors import DataNotFound, InvalidArgument, NotAnImage
from bayesr_bench.rating.ratings import RatingFile, read
from bayesr_bench.rating.server import RatingServer
from bayesr_bench.rating.session import Session
from bayesr_bench.rating.study import decoded, gather, nearest, order


def test_what_is_served_names_no_system_no_image_and_no_format(study, folders, tmp_path):
    server = study(reference=folders["secretive"])
    found = state(server)
    names = [entry["id"] for entry in found["calibration"]] + found["next"]
    answers = [ask(server), ask(server, path="study")] + [ask(server, path=f"images/{name}") for name in names]
    for _, headers, body in answers:
        said = str(headers).encode() + body
        assert not any(word.encode() in said for word in (*SYSTEMS, *NAMES, str(tmp_path)))
        assert headers["Cache-Control"] == "no-store"
    kinds = {headers["Content-Type"] for _, headers, _ in answers[2:]}
    assert kinds == {"image/png"}  # whatever the file is
    for _, _, body in answers[2:]:
        assert Image.open(io.BytesIO(body)).info == {}


def test_names_of_images_are_new_every_time(study):
    assert state(study())["next"] != state(study())["next"]


def test_every_image_by_every_system_is_shown_once_as_it_is(study, folders, tmp_path):
    server = study()
    shown = []
    for score in (1, 2, 3, 4, 5, 1):
        body = ask(server, path=f"images/{state(server)['next'][0]}")[2]
        shown.append(np.asarray(Image.open(io.BytesIO(body))).tobytes())
        assert rate(server, score)[0] == 200
    assert state(server)["next"] == []
    assert set(shown) == {decoded(p).tobytes() for folder in folders.values() for p in folder.iterdir()}
    given = read(tmp_path / "ratings.csv")
    assert {(r.system, r.image) for r in given} == set(product(SYSTEMS, NAMES))
    assert [r.score for r in given] == [1, 2, 3, 4, 5, 1]
    for rating, pixels in zip(given, shown, strict=True):  # the score belongs to what was seen
        [path] = folders[rating.system].glob(f"{rating.image}.*")
        assert decoded(path).tobytes() == pixels


def test_the_order_is_the_raters_and_the_seeds(folders):
    pictures = gather(folders)
    assert order(pictures, "ann", 0) == order(pictures, "ann", 0)
    assert sorted(order(pictures, "ann", 0), key=pictures.index) == pictures
    orders = [order(pictures, rater, seed) for rater in ("ann", "bob", "eve") for seed in (0, 1)]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])


def test_a_rater_goes_on_and_another_begins(study, tmp_path):
    first = study()
    for score in (4, 2):
        rate(first, score)
    again = study()
    assert (state(again)["done"], state(again)["total"]) == (2, 6)
    assert state(study("bob"))["done"] == 0
    for score in (1, 1, 1, 1):
        rate(again, score)
    rows = read(tmp_path / "ratings.csv")
    assert len({(row.system, row.image) for row in rows}) == 6 and [row.score for row in rows][:2] == [4, 2]


def test_undo_takes_back_the_last_even_of_an_earlier_sitting(study, tmp_path):
    first = study()
    rate(first, 4)
    rate(first, 2)
    undone = read(tmp_path / "ratings.csv")[1]
    again = study()
    assert json.loads(ask(again, "POST", "undo", {})[2])["done"] == 1
    assert [row.score for row in read(tmp_path / "ratings.csv")] == [4]
    rate(again, 5)
    last = read(tmp_path / "ratings.csv")[-1]
    assert (last.system, last.image, last.score) == (undone.system, undone.image, 5)
    assert ask(study("bob"), "POST", "undo", {})[0] == 200  # nothing to take back


@pytest.mark.parametrize("score", [0, 6, 2.5, "3", None, True, [1]])
def test_a_score_outside_1_to_5_is_refused_and_not_written(study, tmp_path, score):
    server = study()
    status, _, body = rate(server, score)
    assert status == 400 and "1 to 5" in json.loads(body)["error"]
    assert read(tmp_path / "ratings.csv") == [] and state(server)["done"] == 0


def test_only_the_image_that_is_shown_is_scored(study, tmp_path):
    server = study()
    shown, waiting = state(server)["next"]
    assert ask(server, "POST", "rate", {"id": shown, "score": 3})[0] == 409  # nobody has seen it yet
    assert ask(server, path=f"images/{shown}")[0] == ask(server, path=f"images/{waiting}")[0] == 200
    assert ask(server, "POST", "rate", {"id": waiting, "score": 3})[0] == 409
    assert ask(server, "POST", "rate", {"id": shown, "score": 3})[0] == 200
    assert ask(server, "POST", "rate", {"id": shown, "score": 5})[0] == 409  # two presses of one key
    assert [row.score for row in read(tmp_path / "ratings.csv")] == [3]


def test_other_sites_and_other_names_of_this_machine_are_refused(study, tmp_path):
    server = study()
    assert server.server_address[0] == "127.0.0.1"
    body = {"id": state(server)["next"][0], "score": 3}
    assert ask(server, path=f"images/{body['id']}")[0] == 200
    for headers in (
        {"Host": f"evil.example:{server.server_port}"},
        {"Host": "127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{server.server_port}"},
    ):
        assert ask(server, "GET", "study", **headers)[0] == 403
        assert ask(server, "POST", "rate", body, **headers)[0] == 403
    assert ask(server, "POST", "rate", body, Content_Type="text/plain")[0] == 400  # what a form could send
    assert read(tmp_path / "ratings.csv") == []
    assert ask(server, "POST", "rate", body, Origin=f"http://127.0.0.1:{server.server_port}")[0] == 200


def test_what_is_not_there_is_not_found(study):
    server = study()
    for path in ("images/other", "images/../../etc/passwd", "ratings.csv", "../"):
        assert ask(server, path=path)[0] == 404
    assert ask(server, "POST", "other", {})[0] == 404
    for body in ("[]", "{", "x" * 2000):
        assert ask(server, "POST", "rate", body)[0] == 400
    server.key = "another"
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", "/guess/study")
    assert connection.getresponse().status == 404
    connection.close()


def test_calibration_shows_the_original_and_nearest_neighbour_and_writes_nothing(study, folders, tmp_path):
    server = study(reference=folders["secretive"], scale=4)
    anchors = state(server)["calibration"]
    assert sorted(entry["score"] for entry in anchors) == [1, 1, 1, 5, 5, 5]
    originals = {decoded(path).tobytes() for path in folders["secretive"].iterdir()}
    for entry in anchors:
        shown = np.asarray(Image.open(io.BytesIO(ask(server, path=f"images/{entry['id']}")[2])))
        assert (shown.tobytes() in originals) == (entry["score"] == 5)
        assert shown.shape == (12, 16, 3)
        if entry["score"] == 1:  # one colour a block of 4 x 4
            assert (shown == np.kron(shown[::4, ::4], np.ones((4, 4, 1), np.uint8))).all()
        assert ask(server, "POST", "rate", {"id": entry["id"], "score": 3})[0] == 409
    assert read(tmp_path / "ratings.csv") == []


def test_nearest_neighbour_keeps_a_size_that_the_scale_does_not_divide():
    image = Image.new("RGB", (13, 7), (10, 200, 30))
    assert nearest(image, 4).tobytes() == image.tobytes()


def test_folders_that_cannot_be_compared_are_refused(folders, tmp_path):
    with pytest.raises(DataNotFound, match="no folder"):
        gather(folders | {"third": tmp_path / "nothing"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFound, match="holds no image"):
        gather(folders | {"third": tmp_path / "empty"})
    third = tmp_path / "third"
    third.mkdir()
    for name in NAMES:
        Image.new("RGB", (16, 12)).save(third / f"{name}.png")
    Image.new("RGB", (15, 12)).save(third / "barn owl.png")
    with pytest.raises(InvalidArgument, match="barn owl has 15x12 pixels"):
        gather(folders | {"third": third})
    (third / "barn owl.png").rename(third / "eel.png")
    with pytest.raises(InvalidArgument, match=r"barn owl only by 'secretive', eel only by 'third'"):
        gather(folders | {"third": third})
    Image.fromarray(np.zeros((12, 16), np.uint16)).save(third / "barn owl.png")
    (third / "eel.png").unlink()
    with pytest.raises(NotAnImage, match="8 bits"):
        gather(folders | {"third": third})
    (third / "barn owl.png").write_text("no image")
    with pytest.raises(NotAnImage, match="cannot be read"):
        gather(folders | {"third": third})
    (third / "barn owl.jpg").write_text("no image")
    with pytest.raises(InvalidArgument, match="twice"):
        gather(folders | {"third": third})


def test_a_csv_of_something_else_is_refused(folders, tmp_path):
    pictures = gather(folders)
    path = tmp_path / "ratings.csv"
    file = RatingFile(path, pictures, "ann", 0)
    file.append(pictures[0], 3)
    for known, message in (
        ([p for p in pictures if p.system != pictures[0].system], "other systems"),
        ([p for p in pictures if p.image != pictures[0].image], "other images"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            RatingFile(path, known, "ann", 0)
    Image.new("RGB", (16, 12)).save(pictures[0].path)
    with pytest.raises(InvalidArgument, match="another version"):
        RatingFile(path, gather(folders), "ann", 0)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidArgument, match="does not hold ratings"):
        RatingFile(path, pictures, "ann", 0)
    with pytest.raises(InvalidArgument, match="name"):
        RatingFile(path, pictures, " ", 0)


def test_a_zoom_or_port_that_cannot_be_is_refused(folders, tmp_path):
    pictures = gather(folders)
    file = RatingFile(tmp_path / "ratings.csv", pictures, "ann", 0)
    with pytest.raises(InvalidArgument, match="zoom"):
        Session(pictures, file, zoom=0)
    with pytest.raises(InvalidArgument, match="Port"):
        RatingServer(Session(pictures, file), port=70000)
