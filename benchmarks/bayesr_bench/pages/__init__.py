"""Pages of recorded tables and training histories."""
