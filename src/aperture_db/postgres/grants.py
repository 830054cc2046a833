"""Old names until the last import of them is gone."""

from aperture_db.format import quote_identifier as quote_identifier
from aperture_db.postgres.driver_errors import OTHERWISE as OTHERWISE
from aperture_db.postgres.driver_errors import grant_for as grant_for
