"""Projects may have a page budget.

Frozen: this file describes the past and is not changed when tables change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("projects", sa.Column("max_pages", sa.BigInteger(), nullable=True))
