"""Products as files that other programs open: pictures, GeoTIFF, NetCDF, Zarr."""
