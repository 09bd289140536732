"""google-auth with its default credentials: GOOGLE_APPLICATION_CREDENTIALS or the
metadata service; with an audience, ID tokens."""

import google.auth
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2 import id_token
from converse import converse


def prepare(task):
    if task.get("audience"):
        credentials = id_token.fetch_id_token_credentials(task["audience"], request=Request())
    else:
        credentials, _ = google.auth.default(scopes=task["scopes"])
    session = AuthorizedSession(credentials)

    def use():
        answer = session.get(task["api"])
        answer.raise_for_status()
        return answer.text

    return use


converse(prepare)
