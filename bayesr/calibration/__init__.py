"""From raw spread to spread that can be trusted: the factor, the intervals, their coverage, and the input check."""
