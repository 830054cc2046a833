"""Old names until the last import of them is gone."""

from aperture_db.cli.options import parse_duration as parse_duration
