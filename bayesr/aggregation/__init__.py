"""Statistics of regions, computed for each member, and principal components of the members."""
