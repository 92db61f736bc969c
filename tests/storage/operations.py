"""The stores' own names of the requests that their SDKs send."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

Operation = Callable[[str, str], str]
"""From method and target (path and query) to the name."""


def s3_operation(method: str, target: str) -> str:
    """The name of a request to S3 whose path begins with the bucket's name."""
    url = urlsplit(target)
    query = parse_qs(url.query, keep_blank_values=True)
    on_object = url.path.strip("/").count("/") > 0
    if method == "GET" and not on_object:
        return "ListMultipartUploads" if "uploads" in query else "ListObjectsV2"
    if method == "POST" and "uploads" in query:
        return "CreateMultipartUpload"
    names = {
        "PUT": "UploadPart" if "uploadId" in query else "PutObject" if on_object else "CreateBucket",
        "GET": "ListParts" if "uploadId" in query else "GetObject",
        "HEAD": "HeadObject" if on_object else "HeadBucket",
        "DELETE": "AbortMultipartUpload" if "uploadId" in query else "DeleteObject",
        "POST": "CompleteMultipartUpload" if on_object else "DeleteObjects",
    }
    return names[method]


def azure_operation(method: str, target: str) -> str:
    """The name of a request to Azure Blob, as its documentation has it, without spaces."""
    component = parse_qs(urlsplit(target).query).get("comp", [""])[0]
    names = {
        ("PUT", "block"): "PutBlock",
        ("PUT", "blocklist"): "PutBlockList",
        ("PUT", ""): "PutBlob",
        ("GET", "blocklist"): "GetBlockList",
        ("GET", "list"): "ListBlobs",
        ("GET", ""): "GetBlob",
        ("HEAD", ""): "GetBlobProperties",
        ("DELETE", ""): "DeleteBlob",
    }
    return names.get((method, component), f"{method} {component}")


OPERATIONS: Mapping[str, Operation] = MappingProxyType({"s3": s3_operation, "azure": azure_operation})
"""By the kind of the store."""
