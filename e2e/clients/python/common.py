"""What both scripts share: the task on stdin, steps on stdout, a browser that signs in."""

import base64
import json
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin

import requests

task = json.load(sys.stdin)


def step(name, *tokens):
    """Says that a step held, and which tokens it saw: the test looks for them in the log."""
    print(json.dumps({"step": name, "tokens": [t for t in tokens if t]}), flush=True)


def claims(jwt):
    body = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


class Form(HTMLParser):
    """The first form of a page: its action and its fields."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = attrs.get("action") or ""
        if tag == "input" and attrs.get("name"):
            self.fields[attrs["name"]] = attrs.get("value") or ""


def sign_in(start):
    """Walks from the authorization URL through the login form to the callback URL."""
    browser = requests.Session()
    browser.trust_env = False
    response = browser.get(start, allow_redirects=False, timeout=10)
    for _ in range(10):
        if response.is_redirect:
            target = urljoin(response.url, response.headers["Location"])
            if target.startswith(task["redirect_uri"]):
                return target
            response = browser.get(target, allow_redirects=False, timeout=10)
            continue
        assert response.status_code == 200, f"{response.url} says {response.status_code}"
        form = Form(response.text)
        assert {"username", "password"} <= form.fields.keys(), form.fields.keys()
        form.fields.update(username=task["username"], password=task["password"])
        response = browser.post(urljoin(response.url, form.action), data=form.fields, allow_redirects=False, timeout=10)
    raise AssertionError("the login never came back to the client")
