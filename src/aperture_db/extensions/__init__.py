"""The PostgreSQL extensions that Aperture needs: their state, and how to get them into order.

`check` creates, updates and probes them; it loads pgvector.
"""
