"""Take DeepSeek V4's chat template out of llama.cpp's sources: ``FOLDER-OF-ARCHIVE OUT``."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

NAME = "llama.cpp/models/templates/deepseek-ai-DeepSeek-V4.jinja"

if __name__ == "__main__":
    (archive,) = Path(sys.argv[1]).glob("*.tar.gz")
    with tarfile.open(archive) as files:
        member = next((each for each in files if each.name.endswith(NAME)), None)
        found = files.extractfile(member) if member else None
        if found is None:
            sys.exit(f"agentkit: {archive.name} holds no {NAME}")
        Path(sys.argv[2]).write_bytes(found.read())
