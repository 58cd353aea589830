"""Networks. They depend neither on training nor on xarray."""
