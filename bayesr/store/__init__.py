"""Products as Zarr stores. The template is written first, then whole tiles, each marked done after its data.

A tile is one file of every variable, a shard or a chunk, so that no two writers share one. Beside the product, the
group ``progress`` holds what is needed to continue:

- ``input``, a copy of the image, from which workers read their tiles' windows;
- ``done``, the number of members of every tile, written after its data; 0 where it is not drawn;
- ``checksum``, the CRC-32 of the values of every tile and variable;
- ``mask_means``, deviations of the means of dropout masks, which are needed to add members;
- ``next``, tiles that are about to replace others, while members are added.

This package knows neither torch nor models.
"""
