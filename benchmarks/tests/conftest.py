"""The fixtures of bayesr's own tests, for those of its benchmarks."""

from tests.conftest import folder as folder
from tests.conftest import grey_model as grey_model
from tests.conftest import model as model
from tests.conftest import photo as photo
from tests.conftest import trainer as trainer
