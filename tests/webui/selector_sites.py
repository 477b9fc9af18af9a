"""Documentation sites out of Debian packages, and what one may want of their pages.

What is wanted is said here by hand, site by site, in the terms of each site's own markup: by what an element is for
(the title, the section headings, the examples, the link to the next page), never by asking the selector helper. Each
expression finds the wanted elements on every page of its kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests import needs


class Want(NamedTuple):
    """Something to pick: ``one`` element of a page, or all of a kind of which two are picked."""

    name: str
    xpath: str
    one: bool


class Site(NamedTuple):
    """Pages made by one template."""

    name: str
    package: str
    folder: str
    pages: str
    wants: tuple[Want, ...]


def one(name: str, xpath: str) -> Want:
    return Want(name, xpath, True)


def many(name: str, xpath: str) -> Want:
    return Want(name, xpath, False)


def _class(name: str) -> str:
    return f'contains(concat(" ", normalize-space(@class), " "), " {name} ")'


SITES = (
    Site(
        "postgresql, commands",
        "postgresql-doc-15",
        "/usr/share/doc/postgresql-doc-15/html",
        "sql-*.html",
        (
            one("name of the command", f"//div[{_class('refnamediv')}]/h2"),
            one("what it does", f"//div[{_class('refnamediv')}]/p"),
            one("synopsis", f"//div[{_class('refsynopsisdiv')}]/pre[1][count(../pre)=1]"),
            one("link to the next page", f"//div[{_class('navheader')}]//a[text()='Next']"),
            one("link up", f"//div[{_class('navheader')}]//a[text()='Up']"),
            one("title in the head of the page", "/html/head/title"),
            many("section headings", f"//div[{_class('refsect1')}]/h2"),
            many("parameters", f"//div[{_class('refsect1')}]/div[{_class('variablelist')}]/dl/dt"),
            many("examples", f"//pre[{_class('programlisting')}]"),
            many("links in See Also", f"//div[{_class('refsect1')}][h2='See Also']//a[{_class('xref')}]"),
        ),
    ),
    Site(
        "postgresql, chapters",
        "postgresql-doc-15",
        "/usr/share/doc/postgresql-doc-15/html",
        "[d-p]*-*[a-z][a-z][a-z].html",
        (
            one("title", f"//div[{_class('sect1')}]/div[{_class('titlepage')}]//h2[{_class('title')}]"),
            one("header of the page", f"//div[{_class('navheader')}]//th[@colspan='5']"),
            one("link to the previous page", f"//div[{_class('navheader')}]//a[text()='Prev']"),
            many("sections", f"//div[{_class('sect2')}]/div[{_class('titlepage')}]//h3[{_class('title')}]"),
            many("examples", f"//pre[{_class('programlisting')}]"),
            many("table of contents", f"//div[{_class('toc')}]/dl/dt//a"),
        ),
    ),
    Site(
        "django, reference",
        "python-django-doc",
        "/usr/share/doc/python-django-doc/html",
        "ref/**/*.html",
        (
            one("title", "//div[@id='bd']//h1"),
            one("name of the site", "//div[@id='hd']/h1/a"),
            one("link to the previous page", "//div[@id='hd']//div[@class='nav']/a[text()='previous']"),
            one("link to the source of the page", "//div[@id='sidebar']//a[normalize-space()='Show Source']"),
            one("date", "//p[@class='last']"),
            many("sections", "//div[@id='bd']//h2"),
            many("subsections", "//div[@id='bd']//h3[not(ancestor::*[@id='sidebar'])]"),
            many("examples", f"//div[@id='bd']//div[{_class('highlight')}]/pre"),
            many("what is defined", "//div[@id='bd']//dt[@id]"),
            many("contents in the sidebar", "//div[@id='sidebar']/div/ul//li/a"),
        ),
    ),
    Site(
        "sqlite, language",
        "sqlite3-doc",
        "/usr/share/doc/sqlite3",
        "lang_*.html",
        (
            one("title", f"//div[{_class('fancy_title')}]"),
            one("tagline", f"//div[{_class('tagline')}]"),
            one("search field", "//input[@id='searchbox']"),
            many("main menu", f"//div[{_class('mainmenu')}]/ul/li/a"),
            many("sections", f"//div[{_class('fancy')}]/h1"),
            many("diagrams", f"//div[{_class('imgcontainer')}]//*[name()='svg']"),
            many("paragraphs", f"//div[{_class('fancy')}]/p"),
        ),
    ),
    Site(
        "sqlite, functions of the C interface",
        "sqlite3-doc",
        "/usr/share/doc/sqlite3/c3ref",
        "*.html",
        (
            one("title", "/html/body/h2[1]"),
            one("declaration", "/html/body/blockquote/pre[count(/html/body/blockquote/pre)=1]"),
            one("title in the head of the page", "/html/head/title"),
            many("paragraphs", "/html/body/p"),
        ),
    ),
    Site(
        "git, manual pages",
        "git-doc",
        "/usr/share/doc/git-doc",
        "git-[a-r]*.html",
        (
            one("title", "//div[@id='header']/h1"),
            one("what it does", "//div[@id='header']/div[@class='sectionbody']/p"),
            one("synopsis", f"//div[@class='sect1'][h2='SYNOPSIS']//pre[{_class('content')}]"),
            one("last change", "//div[@id='footer-text']"),
            many("section headings", "//div[@class='sect1']/h2"),
            many("names of options", "//dt[@class='hdlist1']"),
            many("examples", "//div[@class='listingblock']//pre"),
        ),
    ),
    Site(
        "apache, modules",
        "apache2-doc",
        "/usr/share/doc/apache2-doc/manual/en/mod",
        "mod_*.html",
        (
            one("title", "//div[@id='preamble']/h1"),
            one("description", "//table[@class='module']//tr[th='Description:' or th/a='Description:']/td"),
            one("status", "//table[@class='module']//tr[th='Status:' or th/a='Status:']/td"),
            one("version of the server", "//div[@id='page-header']/p[@class='apache']"),
            many("directives listed", "//ul[@id='toc']/li/a"),
            many("directives", "//div[@class='directive-section']/h2"),
            many("examples", "//div[@class='example']"),
            many("syntax of the directives", "//table[@class='directive']//tr[th='Syntax:' or th/a='Syntax:']/td"),
            many("way here", "//div[@id='path']/a"),
        ),
    ),
    Site(
        "debian policy",
        "debian-policy",
        "/usr/share/doc/debian-policy/policy.html",
        "ch-*.html",
        (
            one("title", "//div[@role='main']//h1"),
            one("license of the page", f"//div[{_class('footer')}]"),
            many("sections", "//div[@role='main']//h2"),
            many("subsections", "//div[@role='main']//h3"),
            many("footnotes", "//*[" + _class("footnote-reference") + "]"),
            many("examples", "//div[@role='main']//pre"),
            many("contents", f"//div[{_class('sphinxsidebar')}]//li[{_class('toctree-l1')}]/a"),
        ),
    ),
    Site(
        "debian reference",
        "debian-reference-en",
        "/usr/share/debian-reference",
        "ch*.en.html",
        (
            one("title", f"//h1[{_class('title')}]"),
            one("link to the next page", f"//div[{_class('navheader')}]//a[@accesskey='n']"),
            many("sections", f"//h2[{_class('title')}]"),
            many("subsections", f"//h3[{_class('title')}]"),
            many("captions of tables", f"//div[{_class('table')}]/p[{_class('title')}]"),
            many("commands to type", f"//pre[{_class('screen')}]"),
            many("contents", f"//dl[{_class('toc')}]/dt//a"),
        ),
    ),
)


def pages_of(site: Site) -> list[Path]:
    """All pages of a site; ends the test when the package is not there."""
    found = [page for page in sorted(Path(site.folder).glob(site.pages)) if page.is_file()]
    if len(found) < 2:
        needs.missing(f"{site.folder} (Debian: {site.package})")
    return found
