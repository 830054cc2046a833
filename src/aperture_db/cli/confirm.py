"""Old names until the last import of them is gone."""

from aperture_db.cli.options import PHRASE as PHRASE
from aperture_db.cli.options import ConfirmOption as ConfirmOption
from aperture_db.cli.options import require_confirmation as require_confirmation
