import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bayesr.sampling.philox import philox, signed

WORD = st.integers(0, 2**64 - 1)
# The known answers of Random123 1.14 for philox4x64, 10 rounds (examples/kat_vectors): counter, key, output.
KNOWN = [
    ((0,) * 4, (0,) * 2, (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)),
    (
        (2**64 - 1,) * 4,
        (2**64 - 1,) * 2,
        (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
    ),
    (
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
    ),
]


def words(values):
    return tuple(torch.tensor(signed(value)) for value in values)


def drawn(counter, key):
    return tuple(int(word) % 2**64 for word in philox(words(counter), words(key)))


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    assert drawn(counter, key) == expected


@given(counter=st.tuples(WORD, WORD, WORD, WORD), key=st.tuples(WORD, WORD))
def test_numpy_has_the_same_generator(counter, key):
    bits = np.random.Philox(key=np.array(key, np.uint64), counter=np.array(counter, np.uint64)).random_raw(4)
    carried = (sum(word << 64 * i for i, word in enumerate(counter)) + 1) % 2**256  # NumPy counts before it draws
    assert drawn([carried >> 64 * i & (2**64 - 1) for i in range(4)], key) == tuple(map(int, bits))


def test_words_broadcast():
    out = philox((torch.arange(3)[:, None], *words((0, 0, 0))), (torch.arange(2), *words((5,))))
    assert {word.shape for word in out} == {(3, 2)} and {word.dtype for word in out} == {torch.int64}
    assert tuple(int(word[2, 1]) % 2**64 for word in out) == drawn((2, 0, 0, 0), (1, 5))
