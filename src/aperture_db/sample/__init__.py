"""A believable sample library, for the demo, the tests and the benchmarks.

It is deliberately not quite tidy: four films are too new to have embeddings, some embeddings are
a former model's, a login has expired, some cached verdicts are about films that are gone, and the
job history is never pruned.
"""

from aperture_db.sample.fill import TableFilled, VectorIndexBuilt, fill
from aperture_db.sample.world import DEMO_SIZE, LARGE_SIZE, TEST_SIZE, SampleSize

__all__ = [
    "DEMO_SIZE",
    "LARGE_SIZE",
    "TEST_SIZE",
    "SampleSize",
    "TableFilled",
    "VectorIndexBuilt",
    "fill",
]
