"""Migrations, backups and pyspider's databases."""
