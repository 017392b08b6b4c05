"""What a browser would make of a page, as far as the tests ask."""

import itertools
from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "br", "rect", "link", "img", "input", "hr", "path", "use"}


class Page(HTMLParser):
    """Elements in order, text by element, links and ids; unbalanced markup is an error."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.stack, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, tag

    def handle_data(self, data):
        if data.strip() and "style" not in self.stack:
            self.texts.append((self.stack[-1] if self.stack else "", " ".join(data.split())))

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(text for _, text in self.texts)

    @property
    def ids(self):
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


def check(text, links=()):
    """A page that anybody may open: self-contained, closed, accessible; gives the page."""
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>\n<html lang=")
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "img", "link", "object", "embed", "form", "base", "use"}
    policy = [a["content"] for a in page.of("meta") if a.get("http-equiv")]
    assert policy
    assert policy[0].startswith("default-src 'none'")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert not {"src", "srcset", "action", "xlink:href"} & attributes.keys()
    assert not [id_ for id_, number in Counter(page.ids).items() if number > 1]
    for attributes in page.of("a"):
        href = attributes["href"]
        assert (href.startswith("#") and href[1:] in page.ids) or href in links, href
    for tag, attributes in page.elements:
        if tag == "th":
            assert attributes.get("scope") in {"col", "row"}
        for name in ("aria-labelledby", "aria-describedby"):
            assert all(id_ in page.ids for id_ in attributes.get(name, "").split())
    for attributes in page.of("svg"):
        assert attributes.get("aria-hidden") == "true" or attributes.get("role") == "img"
    levels = [int(tag[1]) for tag, _ in page.elements if tag in {"h1", "h2", "h3", "h4"}]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    return page
