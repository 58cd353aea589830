"""Products as files that other programs open: pictures, GeoTIFF, styles, NetCDF, Zarr."""
