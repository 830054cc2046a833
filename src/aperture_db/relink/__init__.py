"""Puts back what users made after a purge and the next sync have given titles new ids.

`keep` saves identities and rows in the schema aperture_db, `matching` finds the titles again,
`plan` lists what would be put back, `apply` and `references` put it back. Whether anything waits is
counted in `aperture.schema`, for rooms that need no more than that.
"""
