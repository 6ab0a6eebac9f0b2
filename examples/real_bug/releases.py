"""Get both releases from the package index, unpacked, nothing of them installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE = "texttable"
BUGGY, FIXED = "1.7.1", "1.7.2"
_SHA256 = {
    BUGGY: "ce71fc5928ede6cd7a60dbe3cb2845e6df8f5598fe435252ea1b31722415fda7",
    FIXED: "dc16ea6b35fbf5291ba6ef79d79e37d9b3ca6acd7bae3ca3450488d7c2e19c99",
}


class Unavailable(Exception):
    """The package index did not give us the release."""


def source(version: str, folder: Path) -> Path:
    """Download and unpack a source release; return its folder.

    Raises:
        Unavailable: no index answers, or it gave something else than what we know.
    """
    wanted = folder / f"{version}.txt"
    wanted.write_text(f"{PACKAGE}=={version} --hash=sha256:{_SHA256[version]}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", ":all:", "--require-hashes", "-r", str(wanted), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"pip could not download {PACKAGE} {version}:\n{done.stderr.strip()}")
    with tarfile.open(folder / f"{PACKAGE}-{version}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / f"{PACKAGE}-{version}"
