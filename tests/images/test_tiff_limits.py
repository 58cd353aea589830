import os
import struct

import numpy as np
import pytest
import tifffile

from bayesr import images
from bayesr.errors import NotAnImage, TooLarge
from bayesr.images import tiff_limits

TAGS = ((256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4), (279, 16))


def tiff(pages, last=0, sub=None):
    """Return a TIFF of pages of 4 x 4 pixels; the last one is followed by the page number `last` - 1, or by none."""
    tags = [*TAGS, *([(330, sub)] if sub else [])]
    size, start = 2 + 12 * len(tags) + 4, 24
    out = struct.pack("<2sHI", b"II", 42, start) + bytes(16)
    for page in range(pages):
        following = page + 2 if page < pages - 1 else last
        out += struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags)
        out += struct.pack("<I", start + (following - 1) * size if following else 0)
    return out


@pytest.mark.parametrize(("pages", "last"), [(1, 1), (2, 1), (200, 150)])
def test_pages_in_a_ring_are_refused(tmp_path, pages, last):
    (tmp_path / "a.tif").write_bytes(tiff(pages, last))
    with pytest.raises(NotAnImage, match="ring"):
        images.source(tmp_path / "a.tif")


def test_a_page_without_a_ring_is_read(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(1))
    assert images.read(tmp_path / "a.tif").data.shape == (1, 4, 4)


def test_many_pages_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_limits, "MOST_PAGES", 20)
    (tmp_path / "a.tif").write_bytes(tiff(21))
    with pytest.raises(TooLarge, match=r"more than 20 pages.*key=0"):
        images.source(tmp_path / "a.tif")
    (tmp_path / "c.tif").write_bytes(tiff(12, sub=24))  # every page has the first one as a sub-page
    with pytest.raises(TooLarge, match="more than 20 pages"):
        images.source(tmp_path / "c.tif")


@pytest.mark.parametrize("kind", [{}, {"bigtiff": True}, {"byteorder": ">"}], ids=["classic", "big", "big-endian"])
def test_sub_pages_of_every_kind_of_file_are_counted(tmp_path, kind):
    with tifffile.TiffWriter(tmp_path / "a.tif", **kind) as file:
        file.write(np.ones((64, 64), np.uint8), subifds=3, metadata=None)
        for level in (1, 2, 3):
            file.write(np.ones((64 >> level, 64 >> level), np.uint8), subfiletype=1, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert len(list(tiff_limits._directories(tmp_path / "a.tif", file))) == 4
    assert images.read(tmp_path / "a.tif").data.shape == (1, 64, 64)


def ome(path, xml):
    tifffile.imwrite(path, np.ones((4, 4), np.uint8), description=xml, metadata=None)
    return path


PIXELS = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0"
DimensionOrder="XYCZT" Type="uint8" SizeX="{x}" SizeY="4" SizeC="1" SizeZ="{z}" SizeT="1"><TiffData {data}>{uuid}
</TiffData></Pixels></Image></OME>"""


def of_pixels(x=4, z=1, data="", uuid=""):
    return PIXELS.format(x=x, z=z, data=data, uuid=uuid)


def test_metadata_that_fit_are_believed(tmp_path):
    assert images.read(ome(tmp_path / "a.ome.tif", of_pixels())).data.shape == (1, 4, 4)


@pytest.mark.parametrize(
    "stated", [{"z": 10**12}, {"x": 10**15}, {"data": 'PlaneCount="1000000000"'}, {"data": 'IFD="999999999999"'}]
)
def test_metadata_that_state_more_than_can_be_read_are_refused(tmp_path, stated):
    with pytest.raises(TooLarge, match="more than 10000 planes"):
        images.source(ome(tmp_path / "a.ome.tif", of_pixels(**stated)))


def test_planes_that_are_missing_are_not_zeros(tmp_path):
    with pytest.raises(NotAnImage, match="states 3 x 4 x 4 pixels"):
        images.source(ome(tmp_path / "a.ome.tif", of_pixels(z=3)))


def test_entities_are_not_expanded(tmp_path):
    bomb = '<!DOCTYPE OME [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>' + of_pixels().replace("XYCZT", "XYCZT&b;")
    with pytest.raises(NotAnImage, match="definitions"):
        images.source(ome(tmp_path / "a.ome.tif", bomb))


def test_parts_of_an_image_are_read_from_beside_it_only(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.tif")
    for name in ("/dev/zero", "../pipe.tif", "missing.tif"):
        xml = of_pixels(data='IFD="0"', uuid=f'<UUID FileName="{name}">urn:uuid:1</UUID>')
        with pytest.raises(NotAnImage, match="not beside it"):
            images.source(ome(tmp_path / "folder" / "a.ome.tif", xml))
