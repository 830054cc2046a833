"""Real servers for the tests; tests/README.md says which, and how a run shares them."""
