"""The four stores on SQLAlchemy Core: one set of tables, written so that every SQL backend can share it.

No ORM, no SQL text that only one dialect knows outside ``engine.py``.
"""
