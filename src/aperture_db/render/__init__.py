"""Results as rich tables or JSON. Takes dataclasses; knows no database."""
