"""torch's settings of the caller, set aside while bayesr computes."""

from bayesr.isolation.state import isolated as isolated
from bayesr.isolation.state import isolation as isolation
