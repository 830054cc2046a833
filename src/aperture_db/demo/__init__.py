"""The demo: an Aperture database with a sample library on a private server."""
