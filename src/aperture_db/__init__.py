"""Administration of the PostgreSQL database behind Aperture."""

__version__ = "0.1.0"
