"""What every message queue and every store must do, as tests: for crawlkit's own backends and for those of others.

``pytest --pyargs crawlkit.contract --crawlkit-queue URL`` and so on; see docs/plugins.md. Needs pytest.
"""
