"""An S3 server in a process of its own that checks signatures and policies: moto's, with its IAM switched on."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from arcane_framework.storage.s3 import S3Storage
from arcane_framework.storage.s3_settings import S3Clients
from tests.storage.places import Place

START_SECONDS = 30
ALL = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
_LISTENING = re.compile(r"http://127\.0\.0\.1:(?P<port>\d+)")

Statement = Mapping[str, object]


@dataclass(frozen=True)
class IamServer:
    """A running server. Its administrator's keys are made by the first requests, the only ones that nobody checks."""

    port: int
    keys: tuple[str, str] = ("first", "first")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, keys: tuple[str, str] | None = None) -> Any:
        import botocore.session

        key, secret = keys or self.keys
        return botocore.session.Session().create_client(
            service,
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )

    def user(self, statements: Sequence[Statement]) -> tuple[str, str]:
        """A new user's keys, who may do what `statements` say."""
        name, iam = uuid4().hex, self.client("iam")
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="of-the-test", PolicyDocument=policy)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]

    def place(self, bucket: str, statements: Sequence[Statement]) -> Place:
        """The folder `lake` in a bucket for a new user; what looks at it is the administrator."""
        key, secret = self.user(statements)
        variables = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
        }
        client = self.client("s3")
        return Place(f"s3://{bucket}/lake", variables, S3Storage(bucket, "lake", clients=S3Clients(client, client)))

    def bucket(self) -> str:
        """A new bucket."""
        bucket = f"bucket-{uuid4().hex}"
        self.client("s3").create_bucket(Bucket=bucket)
        return bucket


@contextmanager
def running_iam_server() -> Iterator[IamServer]:
    """Run a server with an administrator."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", "0"],
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        port = _port(process)
        yield IamServer(port, IamServer(port).user(ALL))
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stderr is not None
    lines: list[str] = []
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        for line in process.stderr:
            lines.append(line)
            if found := _LISTENING.search(line):
                # Or the server would wait for somebody to read what it writes about each request.
                threading.Thread(target=_drain, args=(process.stderr,), daemon=True).start()
                return int(found["port"])
    finally:
        timer.cancel()
        timer.join()
    raise RuntimeError(f"moto's server does not start: {' '.join(lines).strip()[-500:]}")


def _drain(stream: Any) -> None:
    try:
        for _ in stream:
            pass
    except ValueError:
        pass  # closed
