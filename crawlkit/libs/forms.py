"""A form of a page: filled in, and submitted as a browser does (HTML standard, "Form submission").

Pure: it reads the document and makes a request of it, which ``self.crawl`` or ``self.fetch`` takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus

from crawlkit.libs import charset, multipart

if TYPE_CHECKING:
    from crawlkit.libs.response import Response

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_NO_ENTRY = frozenset({"button", "reset", "submit", "image"})
_SUBMITS = frozenset({"submit", "image"})
_CHOICES = frozenset({"checkbox", "radio"})


class FormRequest(NamedTuple):
    """What submitting a form asks for: ``self.crawl(request.url, **request.args)``."""

    url: str
    args: dict[str, Any]


class Form:
    """A form. :meth:`fill` and :meth:`click` return the form itself, so that calls can be chained."""

    def __init__(self, element: Any, response: Response) -> None:
        self._element = element
        self._response = response
        self._values: dict[str, list[Any]] = {}
        self._controls = list(_controls(element))
        self._button: Any = next((each for each in self._controls if _submits(each) and not _disabled(each)), None)

    def __repr__(self) -> str:
        name = self._element.get("id") or self._element.get("name") or ""
        return f"<Form {name!r} with {', '.join(self.names()) or 'no fields'}>"

    def names(self) -> list[str]:
        """The names of its fields, each once."""
        named = (each.get("name") for each in self._controls if _kind(each) not in _NO_ENTRY)
        return list(dict.fromkeys(name for name in named if name))

    def values(self) -> list[tuple[str, str]]:
        """What would be sent now, in order; of a file its name."""
        return [
            (field.name, field.filename if field.filename is not None else _text(field)) for field in self._entries()
        ]

    def fill(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> Form:
        """Sets fields by name. A checkbox takes ``True`` or ``False``, a choice a value or the text that is shown.

        Several of one name take a list; a file takes what ``files=`` of ``self.crawl`` takes; ``None`` leaves a field
        out. Raises :class:`ValueError` that lists the fields, or the choices, when there is no such one; :meth:`add`
        adds fields that only a script of the page would make.
        """
        for name, value in {**(values or {}), **more}.items():
            controls = [each for each in self._controls if each.get("name") == name and _kind(each) not in _NO_ENTRY]
            if not controls:
                raise ValueError(f"the form has no field {name!r}; it has {', '.join(self.names()) or 'none'}")
            self._values[name] = _chosen(name, controls, value)
        return self

    def add(self, name: str, value: Any) -> Form:
        """Sets a field whether the form has it or not."""
        self._values[name] = _listed(value)
        return self

    def click(self, button: str | None) -> Form:
        """Submits with that button, by its name, value, id or text; ``None``: with none.

        Without this it is the first one, as when Enter is pressed. Raises :class:`ValueError` that lists the buttons.
        """
        if button is None:
            self._button = None
            return self
        buttons = [each for each in self._controls if _submits(each)]
        for each in buttons:
            if button in (each.get("name"), each.get("value"), each.get("id"), _shown(each)):
                self._button = each
                return self
        said = [each.get("name") or each.get("value") or _shown(each) for each in buttons]
        raise ValueError(f"the form has no button {button!r}; it has {', '.join(map(repr, said)) or 'none'}")

    def request(self) -> FormRequest:
        """What is sent when the form is submitted now; raises :class:`ValueError` when it goes nowhere."""
        response, action = self._response, (self._said("action") or "").strip()
        url = response.urljoin(action) if action else response.url
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"the form goes to {url!r}, which is no http URL")
        method = (self._said("method") or "get").strip().lower()
        codec = _codec(self._element.get("accept-charset"), response.encoding)
        entries = [_normalised(field) for field in self._entries(codec)]
        headers = {"Referer": response.url}
        if method != "post":
            head, _, fragment = url.partition("#")
            query = _urlencoded(entries, codec)
            url = f"{head.partition('?')[0]}?{query}" + (f"#{fragment}" if fragment else "")
            return FormRequest(url, {"headers": headers})
        enctype = (self._said("enctype") or "").strip().lower()
        if enctype == MULTIPART:
            data, kind = multipart.encode(entries, (), codec)
        elif enctype == "text/plain":
            lines = [(multipart.octets(each.name, codec), multipart.octets(_value(each), codec)) for each in entries]
            data, kind = b"".join(b"%b=%b\r\n" % line for line in lines), "text/plain"
        else:
            data, kind = _urlencoded(entries, codec).encode(), URLENCODED
        return FormRequest(url, {"method": "POST", "data": data, "headers": {**headers, "Content-Type": kind}})

    def _said(self, name: str) -> str | None:
        """An attribute of the form, unless the button says otherwise."""
        own = self._button.get("form" + name) if self._button is not None else None
        found = own if own is not None else self._element.get(name)
        return None if found is None else str(found)

    def _entries(self, codec: str = "utf-8") -> Iterator[multipart.Field]:
        """The entry list of the standard."""
        given: set[str] = set()
        for each in self._controls:
            name = each.get("name") or ""
            if each is self._button:
                if _kind(each) == "image":
                    dot = name + "." if name else ""
                    yield multipart.Field(dot + "x", "0")
                    yield multipart.Field(dot + "y", "0")
                elif name:
                    yield multipart.Field(name, str(each.get("value") or ""))
                continue
            if not name or _kind(each) in _NO_ENTRY:
                continue
            if name in self._values:
                if name not in given:
                    given.add(name)
                    yield from _given(name, self._values[name])
            elif not _disabled(each):
                yield from _own(name, each, codec)
        for name, values in self._values.items():
            if name not in given and not any(each.get("name") == name for each in self._controls):
                yield from _given(name, values)


def find(response: Response, css: str | None) -> Form:
    """The first form of a page, or the one that ``css`` finds or finds something in; raises :class:`ValueError`."""
    forms = list(response.etree.iter("form"))
    if css is None:
        if forms:
            return Form(forms[0], response)
        raise ValueError(f"there is no form on {response.url}")
    for found in response.css(css):
        element = found.root
        while element is not None and getattr(element, "tag", None) != "form":
            element = element.getparent() if hasattr(element, "getparent") else None
        if element is not None:
            return Form(element, response)
    known = ", ".join(repr(Form(each, response)) for each in forms[:10])
    raise ValueError(f"no form matches {css!r} on {response.url}; there are {known or 'none'}")


def _controls(form: Any) -> Iterator[Any]:
    """Its controls in the order of the document, also those elsewhere that name it in ``form=``."""
    own = form.get("id")
    for each in form.getroottree().getroot().iter("input", "button", "select", "textarea"):
        owner = each.get("form")
        inside = next(each.iterancestors("form"), None) is form
        if (inside if owner is None else owner == own and bool(own)) and next(
            each.iterancestors("datalist"), None
        ) is None:
            yield each


def _kind(control: Any) -> str:
    if control.tag == "input":
        return str(control.get("type") or "text").strip().lower()
    if control.tag == "button":
        kind = str(control.get("type") or "submit").strip().lower()
        return kind if kind in ("button", "reset") else "submit"
    return str(control.tag)


def _submits(control: Any) -> bool:
    return _kind(control) in _SUBMITS


def _disabled(control: Any) -> bool:
    if control.get("disabled") is not None:
        return True
    inside = control
    for above in control.iterancestors("fieldset"):
        if above.get("disabled") is not None:
            legend = next(above.iterchildren("legend"), None)
            if legend is None or legend not in (inside, *control.iterancestors("legend")):
                return True
    return False


def _own(name: str, control: Any, codec: str) -> Iterator[multipart.Field]:
    """What a control sends by itself."""
    kind = _kind(control)
    if kind in _CHOICES:
        if control.get("checked") is not None:
            yield multipart.Field(name, _choice(control))
    elif kind == "select":
        for option in _selected(control):
            yield multipart.Field(name, _option(option))
    elif kind == "file":
        yield multipart.Field(name, b"", "")
    elif kind == "textarea":
        text = "".join(control.itertext())
        yield multipart.Field(name, text.removeprefix("\r").removeprefix("\n"))
    elif kind == "hidden" and name.lower() == "_charset_":
        yield multipart.Field(name, codec.upper())
    else:
        yield multipart.Field(name, str(control.get("value") or ""))


def _given(name: str, values: list[Any]) -> Iterator[multipart.Field]:
    for value in values:
        if isinstance(value, multipart.Field):
            yield value._replace(name=name)
        else:
            yield multipart.Field(name, value if isinstance(value, bytes) else str(value))


def _selected(select: Any) -> list[Any]:
    options = [each for each in select.iter("option") if not _off(each)]
    chosen = [each for each in options if each.get("selected") is not None]
    if select.get("multiple") is not None:
        return chosen
    if not chosen and _whole(select.get("size")) <= 1:
        return options[:1]
    return chosen[-1:]


def _off(option: Any) -> bool:
    above = option.getparent()
    return option.get("disabled") is not None or (above.tag == "optgroup" and above.get("disabled") is not None)


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.strip().isdigit() else 1


def _option(option: Any) -> str:
    value = option.get("value")
    return _shown(option) if value is None else str(value)


def _choice(control: Any) -> str:
    value = control.get("value")
    return "on" if value is None else str(value)


def _shown(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def _chosen(name: str, controls: list[Any], value: Any) -> list[Any]:
    """``value`` as the values to send, checked against what the controls offer."""
    kind = _kind(controls[0])
    if kind == "file":
        if value is None:
            return []
        several = value if isinstance(value, list) else [value]
        return [field for each in several for field in multipart.files_of({name: each})]
    if kind == "checkbox" and isinstance(value, bool):
        return [_choice(each) for each in controls] if value else []
    wanted = _listed(value)
    if kind in _CHOICES:
        offered = {_choice(each): _choice(each) for each in controls}
    elif kind == "select":
        options = [option for control in controls for option in control.iter("option")]
        offered = {_shown(option): _option(option) for option in options}
        offered |= {_option(option): _option(option) for option in options}
    else:
        return wanted
    unknown = [each for each in wanted if str(each) not in offered]
    if unknown:
        raise ValueError(f"{name} has no choice {unknown[0]!r}; it has {', '.join(map(repr, offered))}")
    return [offered[str(each)] for each in wanted]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set) else [value]


# Encoding.


def _codec(accepted: str | None, document: str) -> str:
    for label in (accepted or "").replace(",", " ").split():
        name = charset.codec_name(label)
        if name is not None:
            return "utf-8" if name.startswith("utf-") else name
    return "utf-8" if document.startswith("utf-") else document


def _text(field: multipart.Field) -> str:
    return field.content if isinstance(field.content, str) else field.content.decode("utf-8", "replace")


def _normalised(field: multipart.Field) -> multipart.Field:
    """Newlines as CRLF, as they are sent."""
    content = field.content
    if field.filename is None and isinstance(content, str):
        content = _crlf(content)
    return field._replace(name=_crlf(field.name), content=content)


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


def _value(field: multipart.Field) -> str | bytes:
    return field.content if field.filename is None else field.filename


def _urlencoded(entries: Iterable[multipart.Field], codec: str) -> str:
    """The standard's serializer: other than quote_plus it keeps ``*`` and encodes ``~``."""
    pairs = [
        (quote_plus(multipart.octets(each.name, codec), "*"), quote_plus(multipart.octets(_value(each), codec), "*"))
        for each in entries
    ]
    return "&".join(f"{name}={value}" for name, value in pairs).replace("~", "%7E")
