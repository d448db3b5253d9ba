import pytest
import zstandard

from store.blobs import SHORT, compress, decompress


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, SHORT - 1, SHORT, SHORT + 1, 70_000])
def test_bytes_come_back_whether_they_were_worth_compressing_or_not(size: int) -> None:
    data = bytes(number * number % 251 for number in range(size))
    packed = compress(data)
    assert decompress(packed) == data
    # Any zstd reads it, not only ours.
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == data
    assert zstandard.get_frame_parameters(packed).content_size == size
    assert len(packed) <= size + 13


def test_damaged_bytes_are_no_bytes() -> None:
    for data in (b"short", b"long" * SHORT):
        with pytest.raises(ValueError, match="damaged"):
            decompress(compress(data)[:-1])
        with pytest.raises(ValueError, match="damaged"):
            decompress(b"\0" + compress(data)[1:])
