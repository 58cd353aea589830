"""From members to regions: a statistic of every region, member by member, and what its spread says."""
