"""What bayesr claims, measured: one file a table, run as ``bayesr bench NAME``."""
