"""Old names until the last import of them is gone."""

from aperture_db.postgres.connection import connection_check_interval as connection_check_interval
from aperture_db.postgres.connection import set_local as set_local
from aperture_db.postgres.connection import timeout_parameter as timeout_parameter
