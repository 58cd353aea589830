"""Networks, one idea a file. They know nothing of files, coordinates or xarray."""
