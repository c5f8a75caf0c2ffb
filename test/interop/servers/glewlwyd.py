# Glewlwyd with its OpenID Connect plugin: JWTs by RFC 9068, whose `aud` are the scopes. This process becomes the server.
import base64
import hashlib
import json
import os
import sqlite3
import subprocess

PORT, DATA, CLIENT_ID = os.environ["PORT"], os.environ["DATA"], os.environ["CLIENT_ID"]
ORIGIN = f"http://127.0.0.1:{PORT}"
DATABASE = f"{DATA}/database"
CONFIGURATION = f"""
port={PORT}
bind_address="127.0.0.1"
external_url="{ORIGIN}"
login_url="login.html"
api_prefix="api"
log_mode="console"
log_level="ERROR"
cookie_secure=0
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
hash_algorithm="SHA512"
database={{ type="sqlite3" path="{DATABASE}" }};
"""


def stored(secret):
    salt = os.urandom(8).hex().encode()  # the server reads it as a C string
    return base64.b64encode(hashlib.pbkdf2_hmac("sha256", secret.encode(), salt, 1000) + salt).decode()


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True, **options).stdout


def fill(database):
    with open("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3") as script:
        database.executescript(script.read())
    key = openssl("genrsa", "2048")
    plugin = {
        "iss": f"{ORIGIN}/api/oidc",
        "jwt-type": "rsa",
        "jwt-key-size": "256",
        "key": key,
        "cert": openssl("rsa", "-pubout", input=key),
        "access-token-duration": 600,
        "refresh-token-duration": 600,
        "code-duration": 60,
        "allow-non-oidc": True,
        "auth-type-client-enabled": True,
        "jwks-show": True,
        "introspection-revocation-allowed": True,
        "introspection-revocation-allow-target-client": True,
        "subject-type": "public",
        "request-parameter-allow": True,
        "client-jwks-parameter": "jwks",
    }
    insert(database, "g_plugin_module_instance", gpmi_module="oidc", gpmi_name="oidc", gpmi_parameters=json.dumps(plugin))
    insert(database, "g_scope", gs_name="notes")
    scope = insert(database, "g_client_scope", gcs_name="notes")
    methods = ["client_secret_basic", "client_secret_post"]
    secret = stored(os.environ["CLIENT_SECRET"])
    add_client(database, scope, CLIENT_ID, secret, [("token_endpoint_auth_method", method) for method in methods])
    keys = [("token_endpoint_auth_method", "private_key_jwt"), ("jwks", os.environ["CLIENT_KEYS"])]
    add_client(database, scope, f"{CLIENT_ID}-key", None, keys)


def add_client(database, scope, client_id, secret, properties):
    client = insert(database, "g_client", gc_client_id=client_id, gc_confidential=1, gc_password=secret)
    insert(database, "g_client_scope_client", gc_id=client, gcs_id=scope)
    for name, value in [("authorization_type", "client_credentials"), *properties]:
        insert(database, "g_client_property", gc_id=client, gcp_name=name, gcp_value=value)


def insert(database, table, **values):
    places = ", ".join("?" for _ in values)
    return database.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", (*values.values(),)).lastrowid


if not os.path.exists(DATABASE):
    with sqlite3.connect(DATABASE) as database:
        fill(database)
with open(f"{DATA}/glewlwyd.conf", "w") as file:
    file.write(CONFIGURATION)
os.execvp("glewlwyd", ["glewlwyd", "--config-file", f"{DATA}/glewlwyd.conf"])
