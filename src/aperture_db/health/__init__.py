"""The checks of `health`: problems of the database and its server, with suggested fixes."""
