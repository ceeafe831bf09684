"""Runs Schemathesis against a live service, once for each kind of caller, and prints what it did: `make test-api`.

The service is `claviger dev` in a folder that is thrown away. Arguments: the program, and how many cases a call gets at most.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
# Who calls, and what they leave to others: the one administrator keeps the account and its password.
CALLERS = {"nobody": [], "user": [], "admin": ["delete_me", "change_password"], "program": []}
PASSWORD = "correct horse battery staple"
# Cheap hashes, and no limits on tries: what is tried here are answers.
SETTINGS = {
    "CLAVIGER__PASSWORD__BCRYPT_COST": "4",
    "CLAVIGER__PASSWORD__MAX_WAIT": "1m",
    "CLAVIGER__THROTTLE__ENABLED": "false",
    "PORT": os.environ.get("TEST_API_PORT", "0"),
    "RUST_LOG": "error",
}


def start(program, folder):
    """The service, where it listens, and its database."""
    environment = {"PATH": os.environ["PATH"], **SETTINGS}
    arguments = [program, "dev", "--dir", f"{folder}/service"]
    service = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)
    url = None
    for line in service.stdout:
        if found := re.search(r"health +(http://\S+)/health/ready", line):
            url = found[1]
        if "Ctrl-C" in line:
            break
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/health/ready")
            return service, url, Path(folder, "service/database_url").read_text().strip()
        except OSError:
            time.sleep(0.1)
    sys.exit("the service does not get ready")


def operate(program, database, *arguments, stdin=None):
    """What an operator's command says."""
    environment = {"PATH": os.environ["PATH"], **SETTINGS, "DATABASE_URL": database}
    done = subprocess.run([program, *arguments], env=environment, input=stdin, text=True, capture_output=True, check=True)
    return done.stdout


def run(caller, url, environment, most, folder):
    """One run; gives its figures."""
    report = folder / f"{caller}.json"
    arguments = [
        Path(sys.executable).with_name("schemathesis"), "--config-file", HERE / "schemathesis.toml",
        "run", f"{url}/openapi.json", "--max-examples", most, "--seed", "1",
        "--report", "json", "--report-json-path", report, "--suppress-health-check", "all", "--warnings", "off",
        *(f"--exclude-operation-id={call}" for call in CALLERS[caller]),
    ]
    environment = {**os.environ, **environment, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "CALLER": caller}
    code = subprocess.run(arguments, env=environment, cwd=folder).returncode
    told = json.loads(report.read_text())
    rates = [rate for phases in told["valid_rates"].values() for rate in phases.values()]
    return {
        "caller": caller, "calls": told["operations"]["tested"], "cases": told["test_cases"]["generated"],
        "accepted": sum(rate["accepted"] for rate in rates), "failed": code != 0,
        "failures": told["test_cases"]["unique_failures"] + told["test_cases"]["errored"],
        "seconds": round(told["running_time"]),
    }


def main():
    program, most = os.path.abspath(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        service, url, database = start(program, folder)
        try:
            operate(program, database, "user", "add", "admin@example.com", "--role", "admin", "--password-stdin", stdin=PASSWORD)
            scopes = ["--scope", "users:read", "--scope", "revocations:read"]
            client = json.loads(operate(program, database, "clients", "add", "schemathesis", *scopes, "--json"))
            environment = {"CLIENT": json.dumps(client), "SERVICE": url}
            runs = [run(caller, url, environment, most, Path(folder)) for caller in CALLERS]
        finally:
            service.send_signal(signal.SIGINT)
            service.wait()
    print("\nAs        calls  cases  accepted  failures  seconds")
    for each in runs:
        print("{caller:8} {calls:6} {cases:6} {accepted:9} {failures:9} {seconds:8}".format(**each))
    sys.exit(any(each["failed"] for each in runs))


main()
