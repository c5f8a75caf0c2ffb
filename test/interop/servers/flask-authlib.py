# Authlib on Flask: opaque tokens with introspection, and JWTs for clients that ask for the scope "jwt". It writes the
# type "JWT" over the one asked for.
import json
import os
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.jose import JsonWebKey, jwt
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.models import ClientMixin
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as Introspection
from flask import Flask, jsonify

PORT, CLIENT_ID, AUDIENCE = os.environ["PORT"], os.environ["CLIENT_ID"], os.environ["AUDIENCE"]
ISSUER = f"http://127.0.0.1:{PORT}"
key = JsonWebKey.generate_key("RSA", 2048, {"kid": "key-1", "use": "sig", "alg": "RS256"}, is_private=True)
SECRET_METHODS = ("client_secret_basic", "client_secret_post")
KEY_METHOD = JWTBearerClientAssertion.CLIENT_AUTH_METHOD
tokens = {}


class Client(ClientMixin):
    def __init__(self, id, methods):
        self.id = id
        self.methods = methods

    def get_client_id(self):
        return self.id

    def get_allowed_scope(self, scope):
        return scope or ""

    def check_client_secret(self, client_secret):
        return client_secret == os.environ["CLIENT_SECRET"]

    def check_endpoint_auth_method(self, method, endpoint):
        return method in self.methods

    def check_response_type(self, response_type):
        return False

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"


class ClientCredentials(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = [*SECRET_METHODS, KEY_METHOD]


class ClientAssertion(JWTBearerClientAssertion):
    def validate_jti(self, claims, jti):
        return True

    def resolve_client_public_key(self, client, headers):
        return JsonWebKey.import_key(json.loads(os.environ["CLIENT_KEYS"])["keys"][0])


class Token(dict):
    def is_expired(self):
        return self["exp"] <= time.time()

    def is_revoked(self):
        return False


class IntrospectionEndpoint(Introspection):
    CLIENT_AUTH_METHODS = ["client_secret_basic"]

    def query_token(self, token, token_type_hint):
        return tokens.get(token)

    def check_permission(self, token, client, request):
        return True

    def introspect_token(self, token):
        return token


app = Flask(__name__)


def save_token(token, request):
    issued_at = int(time.time())
    tokens[token["access_token"]] = Token(
        active=True,
        client_id=CLIENT_ID,
        token_type=token["token_type"],
        scope=token.get("scope", ""),
        sub=CLIENT_ID,
        iss=ISSUER,
        iat=issued_at,
        exp=issued_at + token["expires_in"],
    )


def access_token(client, grant_type, user, scope):
    if scope != "jwt":
        return os.urandom(24).hex()
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": CLIENT_ID, "client_id": CLIENT_ID, "aud": AUDIENCE, "iat": now, "exp": now + 600}
    header = {"alg": "RS256", "typ": "at+jwt", "kid": "key-1"}
    return jwt.encode(header, {**claims, "jti": os.urandom(8).hex(), "scope": scope}, key).decode()


clients = {
    CLIENT_ID: Client(CLIENT_ID, SECRET_METHODS),
    f"{CLIENT_ID}-key": Client(f"{CLIENT_ID}-key", (KEY_METHOD,)),
}
app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = access_token
server = AuthorizationServer(app, query_client=clients.get, save_token=save_token)
server.register_client_auth_method(KEY_METHOD, ClientAssertion(f"{ISSUER}/token"))
server.register_grant(ClientCredentials)
server.register_endpoint(IntrospectionEndpoint)


@app.post("/token")
def token():
    return server.create_token_response()


@app.post("/introspect")
def introspect():
    return server.create_endpoint_response(IntrospectionEndpoint.ENDPOINT_NAME)


@app.get("/jwks")
def jwks():
    return jsonify(keys=[key.as_dict(is_private=False)])


@app.get("/.well-known/oauth-authorization-server")
def metadata():
    endpoints = {"token_endpoint": f"{ISSUER}/token", "jwks_uri": f"{ISSUER}/jwks"}
    return jsonify(issuer=ISSUER, introspection_endpoint=f"{ISSUER}/introspect", **endpoints)


app.run("127.0.0.1", int(PORT))
