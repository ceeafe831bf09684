"""Who calls, and what they have: tokens that open something, ids that are somebody's."""

import base64
import json
import os
import random
import urllib.parse
import urllib.request
import uuid

import schemathesis

CALLER, SERVICE = os.environ["CALLER"], os.environ["SERVICE"]
# As in the document's examples.
PASSWORD = "correct horse battery staple"
# After these the caller's session may be over.
ENDING = {"delete_me", "logout", "logout_all", "end_session", "change_password", "log_user_out", "change_user"}
chance = random.Random(1)


def post(path, body, **headers):
    request = urllib.request.Request(SERVICE + path, json.dumps(body).encode(), {"content-type": "application/json", **headers})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def new_account():
    email = f"{uuid.uuid4()}@example.com"
    return post("/api/auth/register", {"email": email, "password": PASSWORD})


def administrator():
    return post("/api/auth/login", {"email": "admin@example.com", "password": PASSWORD})


def program():
    client = json.loads(os.environ["CLIENT"])
    pair = f"{client['client_id']}:{client['client_secret']}".encode()
    headers = {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return post("/api/auth/token", {"grant_type": "client_credentials"}, **headers)


SIGN_IN = {"user": new_account, "admin": administrator, "program": program}
somebody = new_account()

if CALLER in SIGN_IN:

    @schemathesis.auth(refresh_interval=None, cache_by_key=lambda case, context: str(uuid.uuid4()) if name(case) in ENDING else "")
    class Bearer:
        def get(self, case, context):
            return SIGN_IN[CALLER]()["access_token"]

        def set(self, case, token, context):
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}


def name(case):
    return case.operation.definition.raw.get("operationId")


def is_good(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def before_call(context, case, kwargs):
    """In half of the good cases, what there is."""
    if not is_good(case) or chance.random() < 0.5:
        return
    if "id" in (case.path_parameters or {}):
        case.path_parameters["id"] = somebody["user"]["id"]
    if not isinstance(case.body, dict):
        return
    if name(case) in {"refresh", "logout"}:
        case.body["refresh_token"] = new_account()["refresh_token"]
    elif name(case) == "login":
        case.body.update(email=somebody["user"]["email"], password=PASSWORD)
    elif name(case) == "change_password":
        case.body["current_password"] = PASSWORD
    elif name(case) in {"delete_me", "request_email_change"}:
        case.body["password"] = PASSWORD
    elif name(case) == "token" and case.media_type == "application/json":
        client = json.loads(os.environ["CLIENT"])
        case.body.update(grant_type="client_credentials", client_id=client["client_id"], client_secret=client["client_secret"])
        case.body.pop("scope", None)
