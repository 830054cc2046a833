"""Old names until the last import of them is gone."""

from aperture_db.render.table import Item as Item
