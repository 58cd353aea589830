"""Products as sharded Zarr: the template first, then whole shards, each marked done after its data.

A tile is one shard of every variable, so no two writers ever share a shard. Beside the product lies the group
``progress`` with all that is needed to go on:

- ``input``, the image itself: whoever draws a tile, wherever, reads its window from here;
- ``done``, for every tile the number of its members, 0 where it is not drawn, written after its data;
- ``checksum``, for every tile and variable the CRC-32 of its values;
- ``mask_means``, what more members need to know of the first ones;
- ``next``, while members are added, tiles that are about to replace others.
"""
