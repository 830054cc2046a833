"""Administration of the PostgreSQL database behind Aperture."""

import codecs

__version__ = "0.1.0"

ANY_BYTES = "aperture_db_utf8"
"""The codec of text that may be no UTF-8: Python holds such bytes as it holds those of file names,
and a database with SQL_ASCII gets them again as they were."""


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name != ANY_BYTES:
        return None
    return codecs.CodecInfo(
        lambda text, _errors="strict": codecs.utf_8_encode(text, "surrogateescape"),
        lambda data, _errors="strict": codecs.utf_8_decode(data, "surrogateescape", True),
        name=name,
    )


codecs.register(_find_codec)
