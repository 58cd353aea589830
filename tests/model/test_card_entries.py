import pytest

import bayesr
from bayesr.errors import InvalidModel
from bayesr.model.card_entries import check_card
from bayesr.model.catalogue import segmenters


def test_cards_of_bundled_files_and_free_entries_are_valid():
    for info in bayesr.models():
        check_card(bayesr.load(info.name).card)
    for header in segmenters().values():
        check_card(header["card"])
    check_card({})
    check_card(
        {"mine": {"a": [1, None]}, "use": None, "steps": 5, "start": {}, "scores": {"a": {"PSNR": float("nan")}}}
    )


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ({"domain": 5}, "card.domain"),
        ({"parameters": -1}, "card.parameters"),
        ({"steps": {"score": "many"}}, "card.steps.score"),
        ({"start": {"start": {"seconds": "long"}}}, "card.start.start.seconds"),
        ({"scores": {"ice": {"PSNR": [1]}}}, "card.scores.ice.PSNR"),
        ({"attributions": ["photos_free.csv"]}, "card.attributions"),
        ({"start": {"start": {"attributions": 5}}}, "card.start.start.attributions"),
        ({"held_out": {"dice": "good"}}, "card.held_out.dice"),
    ],
)
def test_entries_of_another_kind_are_refused_by_name(card, name):
    with pytest.raises(InvalidModel, match=name):
        check_card(card)
