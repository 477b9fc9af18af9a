"""The names that scripts written for pyspider import, filled with crawlkit's own [H01].

Only the import hook of handler workers reads this; nothing named pyspider is installed.
"""

from __future__ import annotations

import importlib
import types
from typing import Any

#: pyspider's module -> ours; ``None``: a package with nothing in it.
NAMES: dict[str, str | None] = {
    "pyspider": None,
    "pyspider.libs": None,
    "pyspider.libs.base_handler": "crawlkit.libs.base_handler",
    "pyspider.libs.response": "crawlkit.libs.response",
    "pyspider.libs.utils": "crawlkit.libs.utils",
    "pyspider.libs.url": "crawlkit.libs.url",
}

#: Where pyspider has names that are in our ``utils``, its name -> ours.
MOVED = {
    "pyspider.libs.response": {"rebuild_response": "rebuild_response"},
    "pyspider.libs.url": {
        "_build_url": "build_url",
        "_encode_multipart_formdata": "encode_multipart_formdata",
        "_encode_params": "encode_params",
        "build_url": "build_url",
        "curl_to_arguments": "curl_to_arguments",
        "get_content_type": "get_content_type",
        "quote_chinese": "quote_chinese",
    },
}


def fill(module: types.ModuleType) -> None:
    """Gives ``module`` (a key of :data:`NAMES`) the public names of ours, and those that leaked out of pyspider's."""
    ours = NAMES[module.__name__]
    if ours is None:
        return
    source = importlib.import_module(ours)
    # Only what is meant for others: a star import must not put our modules over the script's own names.
    offered = getattr(source, "__all__", None) or [
        name for name, value in vars(source).items() if getattr(value, "__module__", None) == source.__name__
    ]
    module.__dict__.update({name: getattr(source, name) for name in offered if not name.startswith("_")})
    if module.__name__ in MOVED:
        utils = importlib.import_module("crawlkit.libs.utils")
        module.__dict__.update({name: getattr(utils, ours) for name, ours in MOVED[module.__name__].items()})
    if module.__name__ == "pyspider.libs.base_handler":
        module.__dict__.update(_leaked())


def _leaked() -> dict[str, Any]:
    import fractions
    import functools
    import inspect
    import pprint
    import sys

    from crawlkit.libs import utils

    names: dict[str, Any] = {
        "fractions": fractions,
        "functools": functools,
        "inspect": inspect,
        "sys": sys,
        "pprint": pprint.pprint,
        "md5string": utils.md5string,
        "timeout": utils.timeout,
        "quote_chinese": utils.quote_chinese,
        "rebuild_response": utils.rebuild_response,
        "curl_to_arguments": utils.curl_to_arguments,
    }
    try:
        import six
    except ImportError:
        return names
    return names | {"six": six, "add_metaclass": six.add_metaclass, "iteritems": six.iteritems}
