"""Pins the image that the Dockerfile builds on by the digest that its tag has now.

    python docker/pin_image.py [DOCKERFILE]

The line `ARG DEBIAN=debian:trixie-slim` becomes `ARG DEBIAN=debian:trixie-slim@sha256:…`, and a
digest that is there is renewed. The digest is that of the list of all platforms, asked by the
registry's public protocol (https://distribution.github.io/distribution/spec/api/).
"""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

REGISTRY = "https://registry-1.docker.io"
AUTHORITY = "https://auth.docker.io/token?service=registry.docker.io"
LISTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
BASE = re.compile(r"^(ARG DEBIAN=)(\w+):([\w.-]+)(@\S+)?$", re.MULTILINE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TIMEOUT_SECONDS = 30


def pin(text: str, registry: str = REGISTRY, authority: str = AUTHORITY) -> str:
    """The Dockerfile with the present digest. Raises ValueError or URLError."""
    base = BASE.search(text)
    if base is None:
        raise ValueError("the Dockerfile has no line ARG DEBIAN=name:tag")
    name, tag = base[2], base[3]
    digest = read_digest(f"library/{name}", tag, registry, authority)
    return BASE.sub(rf"\g<1>{name}:{tag}@{digest}", text)


def read_digest(repository: str, tag: str, registry: str, authority: str) -> str:
    """The digest of a tag."""
    with urllib.request.urlopen(  # noqa: S310
        f"{authority}&scope=repository:{repository}:pull", timeout=TIMEOUT_SECONDS
    ) as answer:
        token = json.load(answer)["token"]
    request = urllib.request.Request(  # noqa: S310
        f"{registry}/v2/{repository}/manifests/{tag}",
        method="HEAD",
        headers={"Accept": ", ".join(LISTS), "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        digest = answer.headers.get("Docker-Content-Digest", "")
    if not DIGEST.fullmatch(digest):
        raise ValueError(f"the registry named no digest for {repository}:{tag}")
    return str(digest)


def main() -> None:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "Dockerfile")
    try:
        pinned = pin(path.read_text(encoding="utf-8"))
    except (ValueError, KeyError, urllib.error.URLError) as error:
        sys.exit(f"{path} is unchanged: {error}")
    path.write_text(pinned, encoding="utf-8")


if __name__ == "__main__":
    main()
