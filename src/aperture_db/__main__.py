"""`python -m aperture_db`."""

from aperture_db.cli import main

if __name__ == "__main__":
    main()
