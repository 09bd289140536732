"""The issuer as Authlib sees it."""

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

from common import claims, sign_in, step, task

metadata = AuthorizationServerMetadata(requests.get(get_well_known_url(task["issuer"], external=True), timeout=10).json())
assert metadata["issuer"] == task["issuer"]
for member in ("token_endpoint", "jwks_uri", "authorization_endpoint", "introspection_endpoint", "revocation_endpoint"):
    assert metadata[member].startswith(task["issuer"]), member
step("discovery")

token_endpoint = metadata["token_endpoint"]


def session(client_id, secret=None, method="client_secret_basic", **kwargs):
    s = OAuth2Session(client_id, secret, token_endpoint_auth_method=method, **kwargs)
    s.trust_env = False
    return s


def client_credentials(name, s, client_id):
    answer = s.fetch_token(token_endpoint, grant_type="client_credentials", resource=task["audience"], scope=task["scope"])
    assert "refresh_token" not in answer
    assert claims(answer["access_token"])["client_id"] == client_id
    step(name, answer["access_token"])


service = task["service"]
client_credentials("client credentials by secret in the header", session(service["id"], service["secret"]), service["id"])
client_credentials(
    "client credentials by secret in the form",
    session(service["id"], service["secret"], "client_secret_post"),
    service["id"],
)
keyed = task["keyed"]
by_key = session(keyed["id"], keyed["rsa"], "private_key_jwt")  # Authlib signs assertions by RSA keys only
by_key.register_client_auth_method(PrivateKeyJWT(token_endpoint, headers={"kid": keyed["rsa_kid"]}))
client_credentials("client credentials by private key", by_key, keyed["id"])

web = task["web"]
s = session(
    web["id"], web["secret"], scope="openid " + task["scope"], redirect_uri=task["redirect_uri"], code_challenge_method="S256"
)
verifier = generate_token(48)
url, state = s.create_authorization_url(
    metadata["authorization_endpoint"], code_verifier=verifier, resource=task["audience"], nonce=generate_token()
)
callback = sign_in(url)
first = dict(s.fetch_token(token_endpoint, authorization_response=callback, code_verifier=verifier, state=state))
assert claims(first["id_token"])["aud"] == web["id"]
step("code with PKCE", first["access_token"], first["refresh_token"], first["id_token"], verifier)

second = dict(s.refresh_token(token_endpoint, first["refresh_token"]))
assert second["refresh_token"] != first["refresh_token"]
step("refresh with rotation", second["access_token"], second["refresh_token"])

seen = s.introspect_token(metadata["introspection_endpoint"], token=second["access_token"]).json()
assert seen["active"] is True and seen["client_id"] == web["id"], seen
step("introspection")

assert s.revoke_token(metadata["revocation_endpoint"], token=second["refresh_token"]).status_code == 200
try:
    s.refresh_token(token_endpoint, second["refresh_token"])
    raise AssertionError("a revoked refresh token still works")
except OAuthError as err:
    assert err.error == "invalid_grant", err
step("revocation")
